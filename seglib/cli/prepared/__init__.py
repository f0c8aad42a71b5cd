"""The command that prepares the tables of large runs."""
