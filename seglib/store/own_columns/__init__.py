"""Own columns: what the user knows of the photos, brought as a CSV or Parquet file and kept in the store.

`adding.read_columns` reads a file and says what it would add, `adding.keep_columns` adds it; `log` lists, removes and
undoes; `join.append_own_columns` joins the columns in effect with the table, where they are called
`column:<name>`.
"""
