"""Choose what a report covers: the runs, and the photos that all of its figures are computed on.

`make_scope` turns a store, run names and filters into a `ReportScope`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from dashboard.formatting import photo_count, run_labels, shorten_labels
from seglib.classes import Mask
from seglib.errors import UsageError
from seglib.evaluation import cost, counting, evaluation
from seglib.evaluation.comparison import Comparison, load_comparison
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.masks import png
from seglib.query.fields import read_table
from seglib.query.filters import Filters, select
from seglib.query.repeats import describe_repeats, first_datasets
from seglib.store import ground_truth
from seglib.store.records import Run
from seglib.store.store import Store

MAX_RUNS = 6
_MAX_MASK_SIDE = 320
"""Longest side in pixels of a mask in a report, where photos are thumbnails."""


@dataclass(frozen=True, kw_only=True)
class ReportScope:
    store: Store
    runs: tuple[Run, ...]
    labels: Mapping[str, str]
    files: pd.DataFrame
    """Columns are `FILE_COLUMNS`."""
    filters: Filters
    comparison: Comparison | None
    """None for a single run, and for several that are evaluated but not compared with each other."""
    repeats: tuple[str, ...]
    """A sentence on the photos that several datasets hold, if there are any."""

    @property
    def title(self) -> str:
        sets = ", ".join(sorted(self.files["dataset"].astype(str).unique()))
        who = f"{len(self.runs)} runs" if len(self.runs) > 1 else self.label(self.runs[0].run)
        return f"What {who} saw in {photo_count(len(self.files))} of {sets}"

    def label(self, run: str) -> str:
        return self.labels[run]

    @cached_property
    def short_labels(self) -> Mapping[str, str]:
        """Labels without what all runs of this report share, for sentences, tables and pairs."""
        names = [run.run for run in self.runs]
        return shorten_labels(names, self.labels) if len(names) > 1 else self.labels

    def short(self, run: str) -> str:
        return self.short_labels[run]

    @cached_property
    def costs(self) -> pd.DataFrame:
        """What the runs cost, one row each (`evaluation.cost.costs`)."""
        return cost.costs(self.store, [run.run for run in self.runs])

    def rows(self, run: Run) -> pd.DataFrame:
        """Return the run's table rows for the reported photos."""
        table = self.store.table([run.run], with_tags=False, with_measures=False)
        return table[_keys(table).isin(_keys(self.files))]


def default_runs(store: Store) -> tuple[str, ...]:
    """Return the last used run and earlier ones that share photos with it: at most `MAX_RUNS`, oldest first."""
    runs = store.runs()
    if not runs:
        raise UsageError("This store holds no run yet, so there is nothing to report: python -m seglib run DATASET.")
    newest = store.computed_ids(runs[-1])
    sharing = [run.run for run in runs[:-1] if newest & store.computed_ids(run)]
    return (*sharing[-(MAX_RUNS - 1) :], runs[-1].run)


def make_scope(store: Store, names: Sequence[str], filters: Filters) -> ReportScope:
    """Return the scope over the photos that pass the filters in the first run and are counted for all of the runs."""
    runs = tuple(counting.resolve_runs(store, names, minimum=1))
    if len(runs) > MAX_RUNS:
        raise UsageError(f"A report is of at most {MAX_RUNS} runs, not {len(runs)}: name fewer.")
    table = read_table(store, [runs[0].run], filters, with_tags=filters.uses_tags)
    selected = select(table, filters)[FILE_COLUMNS]
    counted_once = first_datasets(selected)
    files = selected[counted_once]
    if files.empty:
        raise UsageError(
            f"None of the {photo_count(len(table))} of {runs[0].run} passes the filters: there is no report."
        )
    comparison = load_comparison(store, [run.run for run in runs], files=files) if len(runs) > 1 else None
    if comparison is not None and comparison.files.empty and _are_evaluated(store, runs):
        comparison = None
    selected_files = files if comparison is None else comparison.files
    if selected_files.empty:
        raise UsageError("No photo of the report is counted in all of its runs: compare them first (seglib compare).")
    labels = run_labels(store.runs())
    return ReportScope(
        store=store,
        runs=runs,
        labels=labels,
        files=selected_files,
        filters=filters,
        comparison=comparison,
        repeats=tuple(describe_repeats(selected, counted_once)),
    )


def _are_evaluated(store: Store, runs: Sequence[Run]) -> bool:
    """Return whether all of the runs are evaluated against the same ground truth."""
    names = {run.run for run in runs}
    return any(names <= set(evaluation.evaluated_runs(store, truth)) for truth in ground_truth.list_truths(store))


def shrink_mask(mask: Mask) -> Mask:
    """Return the mask scaled down to thumbnail size if it is larger."""
    scale = _MAX_MASK_SIDE / max(mask.shape)
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    return mask if scale >= 1 else np.asarray(png.resize_mask(mask, size))


def _keys(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["dataset", "path"]].astype(str))
