"""Campaigns against the running dashboard: requests from outside, many visitors, random clicks."""
