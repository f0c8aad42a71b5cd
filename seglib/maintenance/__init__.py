"""Maintain a store: status, pruning, compaction and verification."""
