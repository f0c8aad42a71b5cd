"""Charts whose axes the user chooses among the fields of the table: what may be combined, bins, and statistics."""
