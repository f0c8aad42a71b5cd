"""Cached queries on expressions: whether one fits a run, and what can be typed in one."""
