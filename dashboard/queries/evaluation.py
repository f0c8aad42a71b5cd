"""Cached queries behind the Evaluate page.

They take an `EvaluationQuery` (ground truth, runs, photos, version of the counts) and return small frames, figures and
mask ids. Caches are keyed by its few strings; cached values are shared between visitors and must not be modified.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import evaluation_stats, ranking
from dashboard.queries import photos as photo_queries
from dashboard.queries import source as source_module
from dashboard.queries.ranking import ImageOrder
from dashboard.queries.source import RunSource
from seglib.evaluation import evaluation as evaluation_module
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.evaluation.evaluation import Evaluation
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
    **source_module.HASHES,
    EvaluationQuery: lambda query: (
        *source_module.HASHES[RunSource](query.source),
        *(query.counts_version, query.truth, query.runs, query.filters.encode()),
    ),
}


def evaluation_query(source: RunSource, truth: GroundTruth, runs: Sequence[str], filters: Filters) -> EvaluationQuery:
    return EvaluationQuery(
        source.for_filters(filters), pair_counts.version(source.store()), truth.id, tuple(runs), filters
    )


@st.cache_resource(max_entries=2, show_spinner="Reading the counts", hash_funcs=HASHES)
def _full_evaluations(query: EvaluationQuery) -> list[Evaluation]:
    """Return the evaluations over all photos of the active run that every run is evaluated on, ignoring the filters."""
    store, files = query.source.store(), photo_queries.table(query.source)[FILE_COLUMNS]
    truth = ground_truth.find_truth(store, query.truth)
    return evaluation_module.restrict_to_common_files(
        [evaluation_module.load_evaluation(store, truth, run, files=files) for run in query.runs]
    )


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def evaluations(query: EvaluationQuery) -> list[Evaluation]:
    """Return the evaluations over the selected photos; must not be modified.

    The index of their files is their position in the run's table.
    """
    full, chosen = (
        _full_evaluations(query.without_filters()),
        photo_queries.selected_positions(query.source, query.filters),
    )
    if not full:
        return full
    keep = np.isin(full[0].files.index.to_numpy(), chosen, assume_unique=True)
    return full if keep.all() else [one.select(keep) for one in full]


def evaluation(query: EvaluationQuery, run: str) -> Evaluation:
    return next(one for one in evaluations(query) if one.run.run == run)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def answer(query: EvaluationQuery, question: str, run: str = "", most: int = 0) -> Any:
    """Answer one of `QUESTIONS`, for `run` if the question is about a single run."""
    return QUESTIONS[question](evaluations(query), run and evaluation(query, run), most)


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
        "runs": evaluation_module.summarize,
        "images": evaluation_module.all_images,
        "confusion": evaluation_module.all_confusions,
    }[name](results)
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


QUESTIONS: dict[str, Callable[[list[Evaluation], Any, int], Any]] = {
    "figures": lambda found, _one, _most: evaluation_stats.figures(found),
    "differences": lambda found, _one, _most: evaluation_stats.differences(found),
    "classes": lambda _found, one, _most: evaluation_stats.class_figures(one),
    "confusion": lambda _found, one, most: evaluation_stats.confusion(one, most),
    "labels": lambda _found, one, _most: evaluation_stats.label_figures(one),
    "reliability": lambda _found, one, _most: evaluation_stats.reliability(one),
    "focus": lambda _found, one, _most: evaluation_stats.main_classes(one, len(one.run.classes)),
}
"""Name -> pure function of all evaluations, one of them, and a number."""
