"""The dashboard's pages; each module exposes `render(selection)`, a few named steps without arithmetic."""
