"""The embeddings that a store holds, and where the photos of a run stand in them."""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.formatting import run_labels, user_message
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import HASHES, RunSource
from seglib.similarity.embeddings import Embeddings, VectorKind, find_damaged, list_sources, read_embeddings
from seglib.store.store import Store

_OF_CLASS = ":class"
"""Ends the name, in the URL, of the vectors of each photo's main class."""


def vector_name(source: str, kind: str) -> str:
    """Return what the URL calls the vectors of a kind of a source."""
    return source + (_OF_CLASS if kind == "class" else "")


@dataclass(frozen=True)
class VectorSet:
    """Vectors of one source and kind, as one version of a store holds them; strings only, since it keys caches."""

    path: str
    version: str
    """Version of the store without tags."""
    source: str
    kind: VectorKind = "global"

    @property
    def name(self) -> str:
        """As in the URL."""
        return vector_name(self.source, self.kind)

    def embeddings(self) -> Embeddings:
        """Return the vectors; must not be modified. Raises `SegError`."""
        return _embeddings(self)


HASHES_WITH_VECTORS = HASHES | {VectorSet: lambda one: (one.path, one.version, one.source, one.kind)}


@dataclass(frozen=True)
class OfferedVectors:
    vectors: VectorSet
    title: str
    is_of_run: str
    """The run that made them; empty if they were brought along."""


def has_vectors(source: RunSource) -> bool:
    """Return whether the store holds any embeddings; cheap enough for every page."""
    return _has_vectors(replace(source.without_tags(), run=""))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _has_vectors(source: RunSource) -> bool:
    store = source.store()
    return any(store.path.glob("runs/*/embeddings/part-*.parquet")) or bool(store.embedding_records())


def offered(source: RunSource) -> list[OfferedVectors]:
    """Return all vectors of the store: those of the active run first, then of the other runs, then those brought."""
    found = _offered(replace(source.without_tags(), run=""))
    return sorted(found, key=lambda one: one.is_of_run != source.run)  # stable


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _offered(source: RunSource) -> list[OfferedVectors]:
    store = source.store()
    labels, found = run_labels(store.runs()), []
    for one in list_sources(store):
        title = labels.get(one.name, one.title) if one.is_run else f"{one.title} (brought along)"
        for kind in one.kinds:
            suffix = ", main class only" if kind == "class" else ""
            vectors = VectorSet(source.path, source.version, one.name, kind)
            found.append(OfferedVectors(vectors, title + suffix, one.name if one.is_run else ""))
    return found


def problems(source: RunSource) -> list[str]:
    """Return a sentence for each source of embeddings that is not offered, because a part of it is damaged."""
    return _problems(replace(source.without_tags(), run=""))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _problems(source: RunSource) -> list[str]:
    store = source.store()
    labels = run_labels(store.runs())
    return [
        f"The embeddings of {labels.get(name, name)} are not offered: {user_message(why)}"
        for name, why in find_damaged(store).items()
    ]


@st.cache_resource(max_entries=1, show_spinner="Reading the embeddings", hash_funcs=HASHES_WITH_VECTORS)
def _embeddings(vectors: VectorSet) -> Embeddings:
    """A single one, since it is the largest value of all: with a million photos it takes gigabytes."""
    return read_embeddings(Store(vectors.path), vectors.source, vectors.kind)


def rows_of(source: RunSource, vectors: VectorSet) -> NDArray[np.int32]:
    """Return int32 (rows of the run's table,): the row of each photo in the embeddings, -1 for one without a vector."""
    return _rows_of(source.without_tags(), vectors)


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES_WITH_VECTORS)
def _rows_of(source: RunSource, vectors: VectorSet) -> NDArray[np.int32]:
    return vectors.embeddings().positions(photo_queries.table(source)["image_id"]).astype(np.int32)
