"""Components that show photos in other ways than the gallery: as the rows of a table, and as a short strip."""
