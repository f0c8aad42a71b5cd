"""Slices: the images cut by the values of a field, and each slice measured against all the others."""
