"""Cached facts of runs for the Runs page: what is left to compute, how much disk they take, which jobs made them."""
