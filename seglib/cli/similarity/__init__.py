"""The commands about embeddings: `seglib embeddings`, `similar`, `duplicates` and `outliers`."""
