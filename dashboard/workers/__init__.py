"""Processes that outlive a page: runs, comparisons, evaluations and predictions."""
