"""Cached queries for the chart of chosen fields, and for photos of doubtful quality."""
