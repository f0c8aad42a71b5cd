"""Send the points of a map to the browser: their places and colours as bytes, and what is below the pointer as text."""
