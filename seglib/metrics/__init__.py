"""Confusion counts, the measures computed from them, calibration error and bootstrap intervals. NumPy only."""
