"""Charts: a small frame in, a plotly figure out."""
