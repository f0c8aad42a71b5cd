"""Expressions over the fields of the table: `share.cat > 0.1 and (label = dogs or not agreement = agrees)`."""
