"""The text box for an expression, with completion and the place of a mistake."""
