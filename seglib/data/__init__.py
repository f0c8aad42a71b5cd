"""Image input: folder scanning, decoding, resizing and the pool of decode workers.

Imports neither pandas nor torch at package level, because decode workers import it.
"""
