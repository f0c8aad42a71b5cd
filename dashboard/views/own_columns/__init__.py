"""Own columns on the pages: filters in the sidebar, and the list on Runs with its form."""
