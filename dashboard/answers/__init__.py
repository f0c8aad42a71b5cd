"""The one sentence with which Compare, Evaluate and their reports begin."""
