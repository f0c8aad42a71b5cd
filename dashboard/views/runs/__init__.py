"""Runs page: the runs of the store, the jobs that make them, and what in the store is no longer current."""
