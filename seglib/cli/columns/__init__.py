"""`seglib columns`: what the user knows of the photos, as columns of the table."""
