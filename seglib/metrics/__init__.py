"""Segmentation metrics in NumPy: confusion counts, accuracy, calibration error and bootstrap intervals."""
