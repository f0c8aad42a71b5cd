"""Titles of the pages, by which they are opened; a title in lower case is the page's path in the URL."""

OVERVIEW = "Overview"
EXPLORE = "Explore"
IMAGE = "Image"
COMPARE = "Compare"
EVALUATE = "Evaluate"
TRY = "Try"
RUNS = "Runs"
