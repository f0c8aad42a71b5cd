"""The kinds of filters: each reads and writes its text, and has one predicate for pandas and one for SQL."""
