"""Which truth and which runs an evaluation is of; chosen by the visitor within what the store holds.

In: a `Selection`. Out: a `Graded`, which cards ask. Knows nothing of how anything is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dashboard.formatting import without_common
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import source
from dashboard.queries.evaluation import Evaluated
from dashboard.queries.photos import Selection
from dashboard.workers.requests import MOST_COMPARED
from seglib.evaluation import evaluation
from seglib.evaluation.evaluation import Evaluation
from seglib.store import ground_truth
from seglib.store.ground_truth import Truth
from seglib.store.records import Run


@dataclass(frozen=True)
class Graded:
    selection: Selection
    known: tuple[Truth, ...]
    """Every truth of the store."""
    about: Truth
    having: tuple[Run, ...]
    """The runs that are evaluated against it, the one used last first."""
    runs: tuple[Run, ...]
    """Those of them that are shown, the main one first; none if nothing was evaluated."""

    @property
    def main(self) -> Run:
        """The active run if it is evaluated, else the one used last: what is told of one run is told of this one."""
        return self.runs[0]

    @cached_property
    def asked(self) -> Evaluated:
        names = [run.run for run in self.runs]
        return evaluation_queries.evaluated(self.selection.source, self.about, names, self.selection.filters)

    @cached_property
    def labels(self) -> dict[str, str]:
        return source.run_labels(self.selection.store.runs())

    @cached_property
    def short(self) -> dict[str, str]:
        """The labels without what all of these runs begin with, for places with little room."""
        return without_common([run.run for run in self.runs], self.labels)

    @cached_property
    def found(self) -> Evaluation:
        """The main run on the selected photos that have a mask of the truth. Must not be changed."""
        return evaluation_queries.evaluation(self.asked, self.main.run)

    @property
    def photos(self) -> int:
        return len(self.found.files) if self.runs else 0

    def answer(self, question: str, most: int = 0) -> Any:
        """Of all runs, or of the main one, as the question is."""
        return evaluation_queries.answer(self.asked, question, self.main.run, most)

    @property
    def focus(self) -> str:
        """The class that is looked at more closely: the visitor's, else the one with most pixels."""
        names: list[str] = self.answer("focus")
        chosen = self.selection.view.focus or self.selection.focus
        return chosen if chosen in names else next((name for name in names if name != "background"), "")


def graded(selection: Selection) -> Graded | None:
    """None if the store holds no truth."""
    known = ground_truth.all_truths(selection.store)
    if not known:
        return None
    by_id = {one.id: one for one in known}
    about = by_id.get(selection.view.truth) or _usual(selection, known)
    having = _having(selection, about)
    return Graded(selection, tuple(known), about, tuple(having), tuple(_shown(selection, having)))


def _usual(selection: Selection, known: Sequence[Truth]) -> Truth:
    """The first by name that the active run is evaluated against, else that any run is, else the first."""
    evaluated = {one.id: evaluation.evaluated_runs(selection.store, one) for one in known}
    with_active = [one for one in known if selection.run.run in evaluated[one.id]]
    return next(iter([*with_active, *(one for one in known if evaluated[one.id]), *known]))


def _having(selection: Selection, about: Truth) -> list[Run]:
    names = set(evaluation.evaluated_runs(selection.store, about))
    return [run for run in reversed(selection.store.runs()) if run.run in names]


def _shown(selection: Selection, having: Sequence[Run]) -> list[Run]:
    """The active run first, then those chosen beside it, or all others."""
    chosen = selection.view.runs
    active = [run for run in having if run.run == selection.run.run]
    others = [run for run in having if run not in active]
    wanted = [run for run in others if run.run in chosen]
    return [*active, *(wanted or ([] if chosen and active else others))][:MOST_COMPARED]
