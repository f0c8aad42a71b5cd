"""Near-duplicates and unusual photos: computed at once for few photos, else by a job, whose result is read here."""

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.queries import photos as photo_queries
from dashboard.queries.similarity.search import FoundPhotos
from dashboard.queries.similarity.vectors import HASHES_WITH_VECTORS, VectorSet, rows_of
from dashboard.queries.source import PhotoQuery, RunSource
from dashboard.workers import similarity
from seglib.similarity.files import FILE_COLUMNS
from seglib.store.store import Store

MAX_AT_ONCE = 1500
"""Most photos with a vector for which a page computes the result itself, in less than a second."""


def find_outliers(query: PhotoQuery, vectors: VectorSet) -> FoundPhotos | None:
    """Return the selected photos with their distance to the nearest ones of the run, the most unusual first.

    None if a job has to compute it.
    """
    path = _result(query.source, vectors, similarity.OUTLIERS)
    return None if path is None else _outliers(query, vectors, path)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES_WITH_VECTORS | {Path: str})
def _outliers(query: PhotoQuery, vectors: VectorSet, path: Path) -> FoundPhotos:
    frame = _read(query.source.without_tags(), vectors, similarity.OUTLIERS, path)
    ids = photo_queries.table(query.source)["image_id"]
    counted = photo_queries.counted_positions(query.source, query.filters)
    counted = counted[~ids.iloc[counted].duplicated().to_numpy()]
    places = pd.Index(frame["image_id"]).get_indexer(ids.iloc[counted])
    positions, values = counted[places >= 0], frame["distance"].to_numpy(np.float32)[places[places >= 0]]
    order = np.lexsort((positions, -values))
    return FoundPhotos(positions[order], values[order])


def find_duplicates(query: PhotoQuery, vectors: VectorSet) -> pd.DataFrame | None:
    """Return the groups among the selected photos: `find_near_duplicates`, with `position`, that in the run's table.

    A group with a single selected photo is left out; `group` numbers those that are left, 0 first. None if a job has to
    compute them.
    """
    path = _result(query.source, vectors, similarity.DUPLICATES)
    return None if path is None else _duplicates(query, vectors, path)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES_WITH_VECTORS | {Path: str})
def _duplicates(query: PhotoQuery, vectors: VectorSet, path: Path) -> pd.DataFrame:
    frame = _read(query.source.without_tags(), vectors, similarity.DUPLICATES, path)
    files = photo_queries.table(query.source)[["dataset", "path"]]
    near = np.flatnonzero(files["path"].isin(frame["path"])).astype(np.int32)
    files = files.iloc[near].astype("str").assign(position=near)
    rows = frame.astype({"dataset": "str", "path": "str"}).merge(files, on=["dataset", "path"])
    chosen = photo_queries.selected_positions(query.source, query.filters)
    rows = rows[rows["position"].isin(chosen)]
    rows = rows[rows.duplicated("group", keep=False)].sort_values(["group", "position"], ignore_index=True)
    return rows.assign(group=pd.factorize(rows["group"])[0])


def _result(source: RunSource, vectors: VectorSet, task: str) -> Path | None:
    """Return where the result is, or would be if the page computes it; None if a job has to."""
    path = similarity.result_path(Store(vectors.path), task, source.run, source=vectors.source, kind=vectors.kind)
    return path if path.is_file() or count_vectors(source, vectors) <= MAX_AT_ONCE else None


def count_vectors(source: RunSource, vectors: VectorSet) -> int:
    """Return the number of files of the run that have a vector."""
    return int(np.count_nonzero(rows_of(source, vectors) >= 0))


@st.cache_resource(max_entries=4, show_spinner="Comparing the photos", hash_funcs=HASHES_WITH_VECTORS | {Path: str})
def _read(source: RunSource, vectors: VectorSet, task: str, path: Path) -> pd.DataFrame:
    kept = similarity.find_result(path)
    if kept is not None:
        return kept
    files = photo_queries.table(source)[list(FILE_COLUMNS)]
    embeddings = vectors.embeddings().only(files["image_id"])
    return similarity.compute_result(Store(vectors.path), task, files, embeddings)
