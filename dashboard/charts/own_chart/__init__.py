"""Draw the chart whose fields the visitor chooses."""
