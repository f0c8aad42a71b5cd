"""The Evaluate page: runs measured against ground truth."""
