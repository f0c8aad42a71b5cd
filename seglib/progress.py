"""Progress record of a long task, passed to callbacks."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(kw_only=True)
class Progress:
    title: str
    total: int
    done: int = 0
    failed: int = 0


OnProgress = Callable[[Progress], None]

OnNote = Callable[[str], None]
"""Called with one sentence for the user."""
