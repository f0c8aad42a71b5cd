"""Files that survive a kill: atomic writes, the store's lock, JSON records and append-only Parquet parts."""
