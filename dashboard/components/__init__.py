"""Page components, each a Python module beside its JavaScript and CSS."""
