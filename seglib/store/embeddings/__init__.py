"""Store embeddings of images: those that a run computed, and sets that were brought along."""
