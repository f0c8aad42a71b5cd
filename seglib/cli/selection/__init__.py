"""`--where` and `--view`, with which commands choose photos, and `seglib view`, which saves such choices."""
