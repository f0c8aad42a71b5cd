"""Cached queries behind *Likely mistakes in the ground truth* of the Evaluate page.

They take an `EvaluationQuery` and one of its runs. Rows are those of the evaluation's files, as in its other lists.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import ranking
from dashboard.queries.evaluation import HASHES, EvaluationQuery
from dashboard.queries.ranking import ImageOrder
from seglib.evaluation.mistakes.ranking import LabelQuality, load_label_quality
from seglib.evaluation.mistakes.work_list import make_work_list
from seglib.query import export
from seglib.store import ground_truth

_ORDERS = {"mistakes": "both", "quality": "quality", "class-quality": "quality", "place": "place"}
"""Key of `state.MISTAKE_SORTS` -> order of a `LabelQuality`."""


@dataclass(frozen=True, eq=False)
class ScoredFiles:
    quality: LabelQuality
    """Of the files of the evaluation that are scored."""
    rows: NDArray[np.intp]
    """Their rows in the evaluation, ascending."""

    def describe(self, rows: NDArray[np.intp], class_name: str = "") -> pd.DataFrame:
        """`LabelQuality.describe` of these rows of the evaluation, all of which are scored."""
        return self.quality.describe(np.searchsorted(self.rows, rows), class_name)


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=HASHES)
def _all_scored(query: EvaluationQuery, run: str) -> LabelQuality:
    """Return the label quality of all photos of the active run, ignoring the filters."""
    store = query.source.store()
    files = evaluation_queries.evaluation(query, run).files
    return load_label_quality(store, ground_truth.find_truth(store, query.truth), run, files=files)


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def scored_files(query: EvaluationQuery, run: str) -> ScoredFiles:
    """Return the scored photos among the selected ones; must not be modified."""
    whole, files = _all_scored(query.without_filters(), run), evaluation_queries.evaluation(query, run).files
    rows = files.index.get_indexer(whole.files.index)
    chosen = rows >= 0
    return ScoredFiles(whole if chosen.all() else whole.select(chosen), rows[chosen])


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def mistake_order(query: EvaluationQuery, run: str, sort: str, class_name: str) -> ImageOrder:
    """Return the scored rows of the evaluation's files, sorted, with the score of the photo or, for `class-quality`, of
    the class; `sort` is one of `state.MISTAKE_SORTS`.
    """
    scored = scored_files(query, run)
    name = class_name if sort == "class-quality" else ""
    ranked = scored.quality.rank(_ORDERS[sort], name)
    cells = scored.quality.cells
    scores = cells.class_scores()[:, scored.quality.run.classes.index(name)] if name else cells.scores()
    return ImageOrder(scored.rows[ranked], scores[ranked])


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def mistake_positions(query: EvaluationQuery, run: str, sort: str, class_name: str) -> NDArray[np.intp]:
    """Return the same order as positions in the active run's table, keeping only the first of identical files."""
    files = evaluation_queries.evaluation(query, run).files
    return ranking.unique_positions(files, mistake_order(query, run, sort, class_name))


def export_work_list(
    query: EvaluationQuery, run: str, sort: str, class_name: str, kind: str, *, with_full_paths: bool
) -> bytes:
    """Export the photos in this order with their scores and reasons."""
    scored, order = scored_files(query, run), mistake_order(query, run, sort, class_name)
    ranked = scored.describe(order.rows, class_name if sort == "class-quality" else "")
    frame = make_work_list(query.source.store(), ranked, with_full_paths=with_full_paths)
    return export.list_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)
