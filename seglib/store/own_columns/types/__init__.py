"""Judge what the texts of a column are: integers, numbers, dates, categories or text."""
