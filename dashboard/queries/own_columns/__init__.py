"""Cached queries on own columns: their values for the sidebar, and files that visitors bring."""
