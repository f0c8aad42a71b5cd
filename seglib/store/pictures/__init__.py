"""Masks and thumbnails of a store, as single files or in packs."""
