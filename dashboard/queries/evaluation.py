"""Cached queries behind the Evaluate page.

They take an `EvaluationQuery` (ground truth, runs, photos, version of the counts) and return small frames, figures and
mask ids. Caches are keyed by its few strings; cached values are shared between visitors and must not be modified.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import evaluation_stats, ranking
from dashboard.queries import photos as photo_queries
from dashboard.queries.evaluation_stats import ClassFigures, Confusion, Headline
from dashboard.queries.ranking import ImageOrder
from dashboard.queries.source import HASHES as SOURCE_HASHES
from dashboard.queries.source import RunSource
from dashboard.state.crossfilter import without_keys
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.evaluation.evaluation import (
    Evaluation,
    PairedDifference,
    load_evaluation,
    restrict_to_common_files,
)
from seglib.evaluation.evaluation_tables import all_confusions, all_images, summarize
from seglib.evaluation.slices.cut import FieldValues
from seglib.evaluation.slices.figures import SliceTable, to_frame
from seglib.metrics.bootstrap import Estimate
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import GroundTruth
from seglib.store.store import Store


@dataclass(frozen=True)
class EvaluationQuery:
    """Runs evaluated against a ground truth over the photos of the active run that pass the filters."""

    source: RunSource
    counts_version: str
    """Version of the counts."""
    truth: str
    runs: tuple[str, ...]
    filters: Filters

    def without_filters(self) -> "EvaluationQuery":
        return replace(self, source=self.source.without_tags(), filters=Filters())


HASHES = {
    **SOURCE_HASHES,
    EvaluationQuery: lambda query: (
        SOURCE_HASHES[RunSource](query.source),
        *(query.counts_version, query.truth, query.runs, query.filters.encode()),
    ),
}


_cached = st.cache_data(max_entries=32, show_spinner=False, hash_funcs=HASHES)


def evaluation_query(source: RunSource, truth: GroundTruth, runs: Sequence[str], filters: Filters) -> EvaluationQuery:
    return EvaluationQuery(
        source.for_filters(filters), pair_counts.version(source.store()), truth.id, tuple(runs), filters
    )


@st.cache_resource(max_entries=2, show_spinner="Reading the counts", hash_funcs=HASHES)
def _full_evaluations(query: EvaluationQuery) -> list[Evaluation]:
    """Return the evaluations over all photos of the active run that every run is evaluated on, ignoring the filters."""
    store, files = query.source.store(), photo_queries.table(query.source)[FILE_COLUMNS]
    truth = ground_truth.find_truth(store, query.truth)
    return restrict_to_common_files([load_evaluation(store, truth, run, files=files) for run in query.runs])


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def evaluations(query: EvaluationQuery) -> list[Evaluation]:
    """Return the evaluations over the selected photos, each counted once; must not be modified.

    The index of their files is their position in the run's table.
    """
    full, chosen = (
        _full_evaluations(query.without_filters()),
        photo_queries.counted_positions(query.source, query.filters),
    )
    if not full:
        return full
    keep = np.isin(full[0].files.index.to_numpy(), chosen, assume_unique=True)
    return full if keep.all() else [one.select(keep) for one in full]


def evaluation(query: EvaluationQuery, run: str) -> Evaluation:
    return next(one for one in evaluations(query) if one.run.run == run)


@_cached
def headline(query: EvaluationQuery, limit: int) -> Headline:
    return evaluation_stats.headline(evaluations(query), limit)


@_cached
def figures(query: EvaluationQuery) -> dict[str, dict[str, Estimate]]:
    return evaluation_stats.figures(evaluations(query))


@_cached
def differences(query: EvaluationQuery) -> list[PairedDifference]:
    return evaluation_stats.differences(evaluations(query))


@_cached
def class_figures(query: EvaluationQuery, run: str) -> ClassFigures:
    return evaluation_stats.class_figures(evaluation(query, run))


@_cached
def confusion(query: EvaluationQuery, run: str, limit: int) -> Confusion:
    return evaluation_stats.confusion(evaluation(query, run), limit)


def slices(query: EvaluationQuery, source: RunSource, run: str, by: str) -> SliceTable:
    """Return a run's slices by a field of the active run, `source`, over the photos that pass all other filters."""
    filters = without_keys(query.filters, (by,))
    source = source if by == "tag" else source.for_filters(filters)
    return _slices(replace(query, source=source, filters=filters), run, by)


@st.cache_data(max_entries=32, show_spinner="Measuring the slices", hash_funcs=HASHES)
def _slices(query: EvaluationQuery, run: str, by: str) -> SliceTable:
    found = evaluation(query, run)
    values = FieldValues.read(photo_queries.table_with(query.source, by), by)
    return replace(found, by=values.take(found.files.index.to_numpy())).slices()


@_cached
def reliability(query: EvaluationQuery, run: str) -> tuple[str, pd.DataFrame]:
    return evaluation_stats.reliability(evaluation(query, run))


@_cached
def classes_by_pixels(query: EvaluationQuery, run: str) -> list[str]:
    """Return the classes in ground truth or prediction: background first, then by number of pixels, descending."""
    run_evaluation = evaluation(query, run)
    return evaluation_stats.main_classes(run_evaluation, len(run_evaluation.run.classes))


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def worst_order(query: EvaluationQuery, run: str, grade: str, name: str, cell: tuple[str, ...]) -> ImageOrder:
    """Return the rows of the evaluation's files, sorted; see `evaluation_stats.sort_worst_first`."""
    return evaluation_stats.sort_worst_first(evaluation(query, run), grade, name, cell)


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def worst_positions(query: EvaluationQuery, run: str, grade: str, name: str, cell: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the same order as positions in the active run's table, keeping only the first of identical files."""
    return ranking.unique_positions(evaluation(query, run).files, worst_order(query, run, grade, name, cell))


@st.cache_resource(max_entries=4, show_spinner=False)
def _truth_mask_ids(key: tuple[str, str, str]) -> pd.Series:
    """Return the masks of a ground truth; `key` is (store, version of its counts, ground truth)."""
    path, _, truth = key
    store = Store(path)
    return ground_truth.mask_ids_by_image(store, ground_truth.find_truth(store, truth))


def truth_mask_id(store: Store, truth: GroundTruth, image_id: str) -> str | None:
    """Return the id of the photo's mask in this ground truth; None if it has none."""
    mask_ids = _truth_mask_ids((str(store.path), pair_counts.version(store), truth.id))
    return str(mask_ids[image_id]) if image_id in mask_ids.index else None


def export_table(query: EvaluationQuery, name: str, kind: str) -> bytes:
    """Export one of the tables of `seglib evaluate` for the selected photos."""
    results = evaluations(query)
    frame = {
        "runs": summarize,
        "images": all_images,
        "confusion": all_confusions,
    }[name](results)
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


def export_slices(query: EvaluationQuery, source: RunSource, by: str, kind: str) -> bytes:
    """Export the slices of every run by a field of the active run, `source`."""
    frame = to_frame(
        ({"run": one.run.run, "truth": one.truth.name}, slices(query, source, one.run.run, by))
        for one in evaluations(query)
    )
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)
