"""What the selections of the Compare and Evaluate pages have in common: several runs over the selected photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from dashboard.formatting import run_labels, shorten_labels
from dashboard.queries import comparison as comparison_queries
from dashboard.queries.photos import Selection
from seglib.store.records import Run


@dataclass(frozen=True, kw_only=True)
class RunSelection:
    base: Selection
    """The photos of the active run that pass the filters."""
    runs: tuple[Run, ...]
    """The runs that are shown, the main one first."""

    @cached_property
    def labels(self) -> dict[str, str]:
        return run_labels(self.base.store.runs())

    @cached_property
    def short_labels(self) -> dict[str, str]:
        """Labels without the prefix common to all of these runs, for narrow places."""
        return shorten_labels(self.run_names, self.labels) if len(self.runs) > 1 else self.labels

    @property
    def run_names(self) -> list[str]:
        return [run.run for run in self.runs]

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What these runs cost, one row each, in their order (`evaluation.cost.costs`)."""
        return comparison_queries.costs(self.base.source.without_tags(), tuple(self.run_names))

    def choose_focus(self, classes: Sequence[str], default: str) -> str:
        """Return the visitor's class, the one in focus on other pages, or the default if it is not among `classes`."""
        chosen = self.base.view.focus or self.base.focus
        return chosen if chosen in classes else default
