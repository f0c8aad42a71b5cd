"""Cached queries on the store for the dashboard's pages."""
