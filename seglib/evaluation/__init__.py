"""Compare runs with each other and with ground truth."""
