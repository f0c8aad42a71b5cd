"""From a folder of images to decoded pixels: scanning, decoding, resizing, and the pool of decoding processes.

Imports neither pandas nor torch at package level, because decode workers import it.
"""
