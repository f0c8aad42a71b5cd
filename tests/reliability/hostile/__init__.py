"""Campaigns with hostile files: pictures, checkpoints, stores, names."""
