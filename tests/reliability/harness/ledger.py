"""What a campaign of faults reports: one line of docs/reliability.md.

A campaign does harm many times, from a seed, and checks after each try that nothing was lost. It raises AssertionError
where something was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CampaignResult:
    tries: int
    summary: str
    """In words and counts: `60 killed in a rename or write; all 60 continued to an equal store`."""
    lost: str = "nothing"


@dataclass(frozen=True)
class Campaign:
    """`run(tries, seed, folder)` works in an empty folder of its own."""

    section: str
    fault: str
    run: Callable[[int, int, Path], CampaignResult]
    tries: int
    """For docs/reliability.md."""
    quick_tries: int
    """For the ordinary tests."""
    needs: str = ""
    """`chromium`, `nginx`, `ray`, `shared` or empty: skipped with a reason where that is not here."""
