"""Find likely mistakes in masks, with and without ground truth."""
