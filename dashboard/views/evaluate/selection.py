"""Choose the ground truth and the runs of an evaluation, all from the store.

`graded` turns a `Selection` into the `Graded` that the cards query.
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
    """Every ground truth in the store."""
    about: Truth
    having: tuple[Run, ...]
    """Runs evaluated against this ground truth, most recently used first."""
    runs: tuple[Run, ...]
    """Those of them that are shown, the main one first; empty if nothing was evaluated."""

    @property
    def main(self) -> Run:
        """The active run if it is evaluated, else the most recently used; all single-run figures are about this one."""
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
        """Labels without the prefix common to all of these runs, for narrow places."""
        return without_common([run.run for run in self.runs], self.labels)

    @cached_property
    def found(self) -> Evaluation:
        """Evaluation of the main run over the selected photos with ground truth; must not be modified."""
        return evaluation_queries.evaluation(self.asked, self.main.run)

    @property
    def photos(self) -> int:
        return len(self.found.files) if self.runs else 0

    def answer(self, question: str, most: int = 0) -> Any:
        """Answer a question about all runs or about the main run, depending on the question."""
        return evaluation_queries.answer(self.asked, question, self.main.run, most)

    @property
    def focus(self) -> str:
        """The class in focus: the visitor's choice, else the one with the most pixels."""
        names: list[str] = self.answer("focus")
        chosen = self.selection.view.focus or self.selection.focus
        return chosen if chosen in names else next((name for name in names if name != "background"), "")


def graded(selection: Selection) -> Graded | None:
    """Return the evaluation to show; None if the store has no ground truth."""
    known = ground_truth.all_truths(selection.store)
    if not known:
        return None
    by_id = {one.id: one for one in known}
    about = by_id.get(selection.view.truth) or _usual(selection, known)
    having = _having(selection, about)
    return Graded(selection, tuple(known), about, tuple(having), tuple(_shown(selection, having)))


def _usual(selection: Selection, known: Sequence[Truth]) -> Truth:
    """Return the first ground truth by name that the active run, else any run, is evaluated against, else the first."""
    evaluated = {one.id: evaluation.evaluated_runs(selection.store, one) for one in known}
    with_active = [one for one in known if selection.run.run in evaluated[one.id]]
    return next(iter([*with_active, *(one for one in known if evaluated[one.id]), *known]))


def _having(selection: Selection, about: Truth) -> list[Run]:
    names = set(evaluation.evaluated_runs(selection.store, about))
    return [run for run in reversed(selection.store.runs()) if run.run in names]


def _shown(selection: Selection, having: Sequence[Run]) -> list[Run]:
    """Return the active run first, then the chosen ones, or all others if none are chosen."""
    chosen = selection.view.runs
    active = [run for run in having if run.run == selection.run.run]
    others = [run for run in having if run not in active]
    wanted = [run for run in others if run.run in chosen]
    return [*active, *(wanted or ([] if chosen and active else others))][:MOST_COMPARED]
