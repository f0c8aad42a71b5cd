"""The store: plain JSON, Parquet, PNG and JPEG files that hold all that runs computed."""
