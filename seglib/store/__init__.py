"""Keep the results of all runs in a store of plain JSON, Parquet, PNG and JPEG files."""
