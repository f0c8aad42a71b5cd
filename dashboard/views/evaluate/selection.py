"""Choose the ground truth and the runs of an evaluation, all from the store.

`select_evaluation` turns a `Selection` into the `EvaluationSelection` that the cards query.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dashboard.offers.photo_folders import Folder
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries.evaluation import EvaluationQuery
from dashboard.queries.photos import Selection
from dashboard.state.view import View
from dashboard.views.multi_run.run_selection import RunSelection
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.classes import BACKGROUND
from seglib.evaluation import evaluation
from seglib.evaluation.evaluation import Evaluation
from seglib.store import ground_truth
from seglib.store.ground_truth import GroundTruth
from seglib.store.records import Run


@dataclass(frozen=True, kw_only=True)
class EvaluationSelection(RunSelection):
    """`runs` are those of `evaluated_runs` that are shown; empty if nothing was evaluated."""

    truths: tuple[GroundTruth, ...]
    """Every ground truth in the store."""
    truth: GroundTruth
    evaluated_runs: tuple[Run, ...]
    """Runs evaluated against this ground truth, most recently used first."""

    @property
    def main_run(self) -> Run:
        """The active run if it is evaluated, else the most recently used; all single-run figures are about this one."""
        return self.runs[0]

    @cached_property
    def query(self) -> EvaluationQuery:
        return evaluation_queries.evaluation_query(self.base.source, self.truth, self.run_names, self.base.filters)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Evaluation of the main run over the selected photos with ground truth; must not be modified."""
        return evaluation_queries.evaluation(self.query, self.main_run.run)

    @property
    def photos(self) -> int:
        return len(self.evaluation.files) if self.runs else 0

    @property
    def not_evaluated(self) -> list[str]:
        """The runs that the view names and that are not evaluated against this ground truth."""
        evaluated = {run.run for run in self.evaluated_runs}
        return [
            run.run for run in self.base.store.runs() if run.run in self.base.view.runs and run.run not in evaluated
        ]

    def named_view(self, n: int) -> View:
        """Return the view with all that these figures are about named; `n`: the photos they count, 0 if unknown."""
        view = self.base.view
        runs = tuple(sorted(self.run_names)) or view.runs
        return replace(view, truth=self.truth.id, runs=runs, n=view.n or n)

    @property
    def focus(self) -> str:
        """The class in focus: the visitor's choice, else the one with the most pixels."""
        names = evaluation_queries.classes_by_pixels(self.query, self.main_run.run)
        return self.choose_focus(names, next((name for name in names if name != BACKGROUND), ""))


def select_evaluation(selection: Selection) -> EvaluationSelection | None:
    """Return the evaluation to show; None if the store has no ground truth, or not the one that the view names."""
    all_truths = ground_truth.list_truths(selection.store)
    by_id, named = {one.id: one for one in all_truths}, selection.view.truth
    if not all_truths or (named and named not in by_id):
        return None
    truth = by_id[named] if named else _default_truth(selection, all_truths)
    evaluated_runs = _evaluated_runs(selection, truth)
    return EvaluationSelection(
        base=selection,
        truths=tuple(all_truths),
        truth=truth,
        evaluated_runs=tuple(evaluated_runs),
        runs=tuple(_chosen_runs(selection, evaluated_runs)),
    )


def _default_truth(selection: Selection, all_truths: Sequence[GroundTruth]) -> GroundTruth:
    """Return the first ground truth by name that the active run, else any run, is evaluated against, else the first."""
    evaluated = {one.id: evaluation.evaluated_runs(selection.store, one) for one in all_truths}
    with_active = [one for one in all_truths if selection.run.run in evaluated[one.id]]
    return next(iter([*with_active, *(one for one in all_truths if evaluated[one.id]), *all_truths]))


def _evaluated_runs(selection: Selection, truth: GroundTruth) -> list[Run]:
    names = set(evaluation.evaluated_runs(selection.store, truth))
    return [run for run in reversed(selection.store.runs()) if run.run in names]


def _chosen_runs(selection: Selection, evaluated_runs: Sequence[Run]) -> list[Run]:
    """Return the active run first, then the chosen ones, or all others if none are chosen."""
    chosen = selection.view.runs
    active = [run for run in evaluated_runs if run.run == selection.run.run]
    others = [run for run in evaluated_runs if run not in active and (run.run in chosen or not chosen)]
    return [*active, *others][:MAX_COMPARED_RUNS]


def find_truth_source(offered: Sequence[Folder], truth: GroundTruth) -> Folder | None:
    """Return the folder or file that a ground truth was read from, if it is among these."""
    ids = {ground_truth.compute_truth_id(f.path, truth.format, truth.classes, truth.options): f for f in offered}
    return ids.get(truth.id)
