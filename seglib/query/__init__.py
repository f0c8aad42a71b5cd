"""Filter the table, compute its statistics and histograms, and export it."""
