"""What pages ask of a selection of photos, answered by pandas, or by SQL for a prepared table."""
