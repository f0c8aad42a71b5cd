"""Models in Python: `objects` in memory, and what a `factory` of one's own code or of a plug-in makes."""
