"""What a link names that the store may no longer hold: runs, and the number of photos.

Takes a `View`; returns what is missing, or the view without it. A page never shows figures of something else than its
link names.
"""

from collections.abc import Sequence
from dataclasses import replace

from dashboard.formatting import count
from dashboard.state import pages
from dashboard.state.view import View


def missing_runs(view: View, page: str, runs: Sequence[str]) -> list[str]:
    """Return the runs that the view names, the page's figures are about, and the store does not hold."""
    named = [view.run]
    if page in (pages.COMPARE, pages.EVALUATE):
        named += view.runs
    if page == pages.COMPARE:
        named.append(view.against)
    return [run for run in dict.fromkeys(named) if run and run not in runs]


def fit_to_runs(view: View, runs: Sequence[str]) -> tuple[View, list[str]]:
    """Name the newest run if the view names none, and drop runs that are not among `runs` (newest last) from those
    beside it, with a sentence for each.
    """
    view = view if view.run else replace(view, run=runs[-1])
    gone = [run for run in dict.fromkeys((*view.runs, view.against)) if run and run not in runs]
    if not gone:
        return view, []
    left = tuple(run for run in view.runs if run in runs)
    if view.runs and not left:  # none chosen would mean all of them
        left = (view.run,)
    view = replace(view, runs=left)
    if view.against in gone:
        view = replace(view, against="", difference="", origin="" if view.origin == "compare" else view.origin)
    return view, [f"There is no run {run!r} in this store to show beside the others." for run in gone]


def describe_missing(kind: str, names: Sequence[str]) -> str:
    """Return the sentence for runs or truths that a link names and the store does not hold."""
    if len(names) == 1:
        return f"This link speaks of a {kind} that is not in this store: {names[0]}."
    return f"This link speaks of {kind}s that are not in this store: {', '.join(names)}."


def describe_changed_n(linked: int, n: int) -> str:
    """Return the sentence for a link whose figures counted another number of photos; empty if it did not."""
    if not linked or linked == n:
        return ""
    return f"This link was made with n = {count(linked)}; these figures count {count(n)}."
