"""Campaigns of faults against runs, stores, pictures, weights and the web side; `python -m tests.reliability`."""
