"""Filters as conditions of SQL, for the prepared table of a large run."""
