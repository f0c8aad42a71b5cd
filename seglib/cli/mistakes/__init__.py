"""`seglib mistakes`: list the photos whose masks are most likely wrong."""
