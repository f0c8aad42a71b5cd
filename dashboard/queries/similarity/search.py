"""The photos that are most similar to some."""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Positions
from dashboard.queries.similarity.vectors import HASHES_WITH_VECTORS, VectorSet, rows_of
from dashboard.queries.source import PhotoQuery, photo_query
from seglib.similarity.search import query_vector, similarities

MAX_FOUND = 480
"""Most photos that are shown as similar: ten pages of a gallery."""


@dataclass(frozen=True)
class FoundPhotos:
    """Photos in an order, each with a number."""

    positions: Positions
    """(N,) in the run's table."""
    values: NDArray[np.float32]
    """(N,): cosine similarity, -1..1, or distance to the nearest photos, 0..2."""


def find_similar_photos(query: PhotoQuery, vectors: VectorSet, image_ids: tuple[str, ...]) -> FoundPhotos:
    """Return the selected photos most similar to these images, or to their mean, without these images themselves.

    Raises `UsageError` if one of them has no vector.
    """
    counted = photo_query(query.source, query.filters)
    return _find_by_ids(counted, vectors, image_ids)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=HASHES_WITH_VECTORS)
def _find_by_ids(query: PhotoQuery, vectors: VectorSet, image_ids: tuple[str, ...]) -> FoundPhotos:
    vector = query_vector(vectors.embeddings(), image_ids)
    return _rank(query, vectors, vector, image_ids)


def find_similar_to_vector(query: PhotoQuery, vectors: VectorSet, vector: NDArray[np.floating]) -> FoundPhotos:
    """Return the selected photos most similar to a vector (D,) of the same model. Raises `UsageError`."""
    return _rank(query, vectors, query_vector(vectors.embeddings(), vector), ())


def _rank(query: PhotoQuery, vectors: VectorSet, vector: NDArray[np.float32], left_out: tuple[str, ...]) -> FoundPhotos:
    source = query.source
    positions = photo_queries.counted_positions(source, query.filters)
    rows = rows_of(source, vectors)[positions]
    embeddings = vectors.embeddings()
    known = (rows >= 0) & ~np.isin(rows, embeddings.positions(left_out))
    positions = positions[known]
    values = similarities(embeddings, vector)[rows[known]]
    number = min(MAX_FOUND, len(values))
    if number < len(values):
        best = np.argpartition(-values, number)[:number]
        positions, values = positions[best], values[best]
    order = np.lexsort((positions, -values))
    repeated = photo_queries.table(source)["image_id"].iloc[positions[order]].duplicated().to_numpy()
    order = order[~repeated]
    return FoundPhotos(positions[order], values[order])
