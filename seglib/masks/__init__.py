"""Mask processing: PNG files, statistics, overlays, differences, boundaries and annotations.

Imports neither pandas nor torch at package level.
"""
