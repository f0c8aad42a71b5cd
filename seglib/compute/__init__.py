"""Decode photos, predict their masks and count the pixels, in this process or another; knows no store.

`task` holds what is computed and what comes of it, as plain data that can be pickled; `worker` does it.
"""
