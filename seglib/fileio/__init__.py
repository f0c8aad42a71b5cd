"""Crash-safe file storage: atomic writes, the store lock, JSON records and append-only Parquet parts."""
