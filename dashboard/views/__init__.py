"""The pages: each module has `render(selection)`, a story in a few named steps without arithmetic."""
