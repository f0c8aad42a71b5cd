"""The text box for an expression."""
