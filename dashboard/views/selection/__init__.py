"""What chooses photos besides the filters of the sidebar: an expression, and saved views."""
