"""The Try page: models on the visitor's own photos and camera; nothing is stored unless requested."""
