"""Cached queries on the embeddings of a run's photos: map, lasso, look-alikes, near-duplicates, outliers."""
