"""Cached queries behind *Masks that look wrong* of the Compare page.

They take a `ComparisonQuery`. Rows are those of the comparison's files, as in its other list.
"""

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import comparison as comparison_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries import ranking
from dashboard.queries.comparison import HASHES, ComparisonQuery
from dashboard.queries.ranking import ImageOrder
from dashboard.workers.similarity import DUPLICATES, find_result, result_path
from seglib.evaluation.mistakes.suspects import Suspects, find_suspects
from seglib.evaluation.mistakes.work_list import make_work_list
from seglib.query import export
from seglib.similarity.embeddings import list_sources
from seglib.store.store import Store


@st.cache_resource(max_entries=3, show_spinner="Looking for masks that look wrong", hash_funcs=HASHES)
def suspects(query: ComparisonQuery) -> Suspects:
    """Return the suspects among the compared photos of the first run; must not be modified."""
    store, first = query.source.store(), query.runs[0]
    rows = photo_queries.rows_at(query.source, comparison_queries.comparison(query).files.index.to_numpy())
    return find_suspects(store, store.run(first), query.runs[1:], table=rows, copies=_known_copies(store, first))


def _known_copies(store: Store, run: str) -> pd.DataFrame | None:
    """Return the near-duplicates that the page Similar has found and kept; None if it was not asked to."""
    found = (
        find_result(result_path(store, DUPLICATES, run, source=one.name, kind="global")) for one in list_sources(store)
    )
    return next((groups for groups in found if groups is not None), None)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def suspect_order(query: ComparisonQuery) -> ImageOrder:
    """Return the rows of the comparison's files that are suspects, sorted, with their scores."""
    photos = suspects(query).photos
    rows = comparison_queries.comparison(query).files.index.get_indexer(photos.index)
    return ImageOrder(rows.astype(np.intp), photos["score"].to_numpy(np.float64))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def suspect_positions(query: ComparisonQuery) -> NDArray[np.intp]:
    """Return the same order as positions in A's table, keeping only the first of identical files."""
    return ranking.unique_positions(comparison_queries.comparison(query).files, suspect_order(query))


def export_work_list(query: ComparisonQuery, kind: str, *, with_full_paths: bool) -> bytes:
    """Export the suspects with the strength of each reason and all reasons in words."""
    frame = make_work_list(query.source.store(), suspects(query).photos, with_full_paths=with_full_paths)
    return export.list_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)
