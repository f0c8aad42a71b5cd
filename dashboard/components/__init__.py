"""Page components, each a Python function beside its JavaScript and CSS."""
