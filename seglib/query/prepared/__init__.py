"""The prepared table of a large run: its rows joined once, in Parquet files that DuckDB answers pages from."""
