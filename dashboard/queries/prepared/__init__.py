"""Runs too large to be read into memory: which they are, and their prepared tables."""
