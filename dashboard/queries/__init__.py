"""Cached queries of the store for the pages."""
