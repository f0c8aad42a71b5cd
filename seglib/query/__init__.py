"""Filter the table, compute statistics and histograms from it, and export it."""
