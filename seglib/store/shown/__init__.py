"""A store in the browser: start the dashboard from Python, and read back what is picked there."""
