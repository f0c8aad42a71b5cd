"""The Similar page: a map of embeddings with a lasso, look-alikes, near-duplicates, unusual photos."""
