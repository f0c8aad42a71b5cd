"""Choose the runs of a comparison: A (the active run), B, and any others, all from the store.

`select_comparison` turns a `Selection` into the `ComparisonSelection` that the cards query.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from dashboard.queries import comparison as comparison_queries
from dashboard.queries.comparison import ComparisonQuery
from dashboard.queries.comparison_stats import Headline, PairSummary, main_classes
from dashboard.queries.photos import Selection
from dashboard.state.view import View
from dashboard.views.multi_run.run_selection import RunSelection
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.evaluation.comparison import Comparison

DEFAULT_RUN_COUNT = 4
"""Number of runs compared by default: the active run and the most recently used ones."""

LETTERS = "ABCDEF"
"""By which the compared runs are called, which are at most as many."""

MAX_CLASSES = 6
"""Classes in the charts that the page begins with."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSelection(RunSelection):
    """`runs` are A, B, then the others, most recently used first."""

    @property
    def a(self) -> str:
        return self.runs[0].run

    @property
    def b(self) -> str:
        return self.runs[1].run

    @cached_property
    def letters(self) -> dict[str, str]:
        """Run -> A, B, C, ... in this order."""
        return dict(zip(self.run_names, LETTERS, strict=False))

    @cached_property
    def query(self) -> ComparisonQuery:
        return comparison_queries.comparison_query(self.base.source, self.run_names, self.base.filters)

    @cached_property
    def comparison(self) -> Comparison:
        """Comparison over the selected photos that are counted; must not be modified."""
        return comparison_queries.comparison(self.query)

    @property
    def photos(self) -> int:
        return len(self.comparison.files)

    @cached_property
    def headline(self) -> Headline:
        return comparison_queries.headline(self.query, self.a, self.b, MAX_CLASSES)

    @cached_property
    def pair(self) -> PairSummary:
        return comparison_queries.summarize_pair(self.query, self.a, self.b)

    def main_classes(self, limit: int) -> list[str]:
        """Return the classes with the most pixels in A and B, without background."""
        return main_classes(self._classes, limit)

    @cached_property
    def _classes(self) -> pd.DataFrame:
        return comparison_queries.class_shares_of_pair(self.query, self.a, self.b)

    def named_view(self, n: int) -> View:
        """Return the view with all that these figures are about named; `n`: the photos they count, 0 if unknown."""
        view = self.base.view
        return replace(view, run=self.a, against=self.b, runs=tuple(sorted(self.run_names)), n=view.n or n)

    @property
    def focus(self) -> str:
        """The class in focus: the visitor's choice, else the one with the most pixels in both runs."""
        both = [str(name) for name in self._classes.index]
        return self.choose_focus(both, next(iter(self.main_classes(1)), ""))


def select_comparison(selection: Selection) -> ComparisonSelection | None:
    """Return the comparison to show; None if the store has no second run."""
    by_name = {run.run: run for run in reversed(selection.store.runs())}
    chosen = compared_runs(selection.view, selection.run.run, list(by_name))
    if len(chosen) < 2:
        return None
    return ComparisonSelection(base=selection, runs=tuple(by_name[name] for name in chosen))


def compared_runs(view: View, a: str, names: Sequence[str]) -> list[str]:
    """Return A, B and the others; `names` lists all runs, most recently used first."""
    others = [name for name in names if name != a]
    wanted = [name for name in others if name in view.runs] or others[: DEFAULT_RUN_COUNT - 1]
    if view.against in others:
        wanted = [view.against, *(name for name in wanted if name != view.against)]
    return [a, *wanted[: MAX_COMPARED_RUNS - 1]]


def chosen_state(view: View, a: str, names: Sequence[str], chosen: Sequence[str]) -> dict[str, Any]:
    """Return the view changes after the visitor chose these runs: A stays, and so does B if it is still chosen."""
    others = [name for name in names if name in chosen and name != a][: MAX_COMPARED_RUNS - 1]
    default = [name for name in names if name != a][: DEFAULT_RUN_COUNT - 1]
    return {
        "runs": () if not others or set(others) == set(default) else tuple(sorted({a, *others})),
        "against": view.against if view.against in others else "",
    }
