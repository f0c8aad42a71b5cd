"""List and read the embeddings of a store: of its runs, and of sets that were brought along.

sources = list_sources(store)
embeddings = read_embeddings(store, sources[0].name)
embeddings.vectors[embeddings.positions(["0123..."])]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.errors import DamagedFileError, UnknownName, UsageError
from seglib.fileio import parquet_parts
from seglib.store.embeddings import brought, vectors
from seglib.store.embeddings.brought import BroughtSet
from seglib.store.records import Run
from seglib.store.store import Store

VectorKind = Literal["global", "class"]
"""`global`: of the whole image; `class`: of the pixels of its dominant class alone, in which some images have none."""

Ids = Sequence[str] | NDArray[Any] | pd.Series
"""Image_ids; an Arrow array of strings will do too."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingSource:
    """Where embeddings come from: a run, or a set that was brought along."""

    name: str
    """What `read_embeddings` takes: the run's name or the set's. Unique within the store."""
    title: str
    """What pages call it: the run's title or the set's name."""
    is_run: bool
    dimensions: int
    images: int
    """Rows, images without a file included."""
    kinds: tuple[VectorKind, ...]


@dataclass(frozen=True)
class Embeddings:
    """The vectors of one source and kind, one row per image."""

    ids: pa.StringArray
    """Unique image_ids (N,)."""
    vectors: NDArray[np.float16]
    """(N, D), each of length 1 up to rounding."""
    source: str
    kind: VectorKind = "global"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes + int(self.ids.nbytes)

    def positions(self, image_ids: Ids) -> NDArray[np.intp]:
        """intp (M,): the row of each of these images, -1 for one without a vector."""
        wanted = image_ids if isinstance(image_ids, pa.Array | pa.ChunkedArray) else pa.array(image_ids, pa.string())
        if 4 * len(wanted) < len(self):  # a hash table of all ids takes 0.3 s at a million
            return self._look_up(wanted)
        return np.asarray(pc.index_in(wanted, value_set=self.ids).fill_null(-1)).astype(np.intp)

    def _look_up(self, wanted: pa.Array) -> NDArray[np.intp]:
        """`positions` of few images, by one pass over all ids."""
        distinct = pc.unique(wanted)
        places = pc.index_in(self.ids, value_set=distinct)
        rows = np.flatnonzero(np.asarray(places.is_valid()))
        by_image = np.full(len(distinct), -1, np.intp)
        by_image[np.asarray(places.drop_null())] = rows
        found: NDArray[np.intp] = by_image[np.asarray(pc.index_in(wanted, value_set=distinct))]
        return found

    def only(self, image_ids: Ids) -> "Embeddings":
        """The rows of these images, in this source's order; images without a vector are left out."""
        chosen = np.unique(self.positions(image_ids))
        chosen = chosen[chosen >= 0]
        return Embeddings(self.ids.take(pa.array(chosen)), self.vectors[chosen], self.source, self.kind)


def list_sources(store: Store) -> list[EmbeddingSource]:
    """Runs with embeddings, the most recently used first, then sets that were brought along, by name.

    Sources with a damaged part are left out; see `find_damaged`. Fast: reads the footers of parts and one part of each
    run.
    """
    return [found for _, found in _look_up_sources(store) if isinstance(found, EmbeddingSource)]


def find_damaged(store: Store) -> dict[str, str]:
    """Name of each source with a damaged part -> what is wrong with it, and what to do."""
    return {name: found for name, found in _look_up_sources(store) if isinstance(found, str)}


def find_source(store: Store, name: str | None = None) -> EmbeddingSource:
    """The source of this name, or the first one.

    Raises `UnknownName`, `DamagedFileError` if it has a damaged part, or `UsageError` if there is none at all.
    """
    sources = dict(_look_up_sources(store))
    if not sources:
        raise UsageError(
            "This store has no embeddings: run a built-in model, which makes them, or add a file of embeddings."
        )
    if name is not None and name not in sources:
        raise UnknownName("source of embeddings", name, sources)
    found = sources[name] if name is not None else next(iter(sources.values()))
    if isinstance(found, str):
        raise DamagedFileError(found)
    return found


def _look_up_sources(store: Store) -> Iterator[tuple[str, EmbeddingSource | str]]:
    """Yield the name of each source, in the order of `list_sources`, with the source or a sentence on its damage."""
    for run in reversed(store.runs()):
        folder = store.embeddings_folder(run)
        survey = parquet_parts.survey(folder, vectors.REMEDY)
        if survey.rows or survey.damaged:
            yield run.run, _first(survey.damaged) or _source_of_run(run, folder, sum(survey.rows.values()))
    for one in brought.list_sets(store):
        survey = parquet_parts.survey(store.brought_folder(one.name), brought.REMEDY)
        yield one.name, _first(survey.damaged) or _source_of_set(one)


def _first(damaged: Mapping[str, str]) -> str:
    return next(iter(damaged.values()), "")


def _source_of_run(run: Run, folder: Path, images: int) -> EmbeddingSource | str:
    try:
        dimensions = vectors.read_dimensions(folder, vectors.REMEDY)
    except DamagedFileError as error:  # a part of an older version, whose name has no digest
        return str(error)
    return EmbeddingSource(
        name=run.run,
        title=run.display_title,
        is_run=True,
        dimensions=dimensions,
        images=images,
        kinds=("global", "class"),
    )


def _source_of_set(one: BroughtSet) -> EmbeddingSource:
    return EmbeddingSource(
        name=one.name, title=one.name, is_run=False, dimensions=one.dimensions, images=one.images, kinds=("global",)
    )


def read_embeddings(store: Store, source: str | None = None, kind: VectorKind = "global") -> Embeddings:
    """All vectors of a source (default: the first of `list_sources`), those of images without a file included.

    Raises `UnknownName`, `UsageError`, or `DamagedFileError`.
    """
    found = find_source(store, source)
    if kind not in found.kinds:
        raise UsageError(f"{found.name} has vectors of kind {' and '.join(found.kinds)}, not of kind {kind!r}.")
    if not found.is_run:
        ids, rows = brought.read_vectors(store, found.name)
    else:
        folder = store.embeddings_folder(store.run(found.name))
        ids, rows = vectors.read_parts(folder, kind, vectors.REMEDY)
    return Embeddings(ids, rows, found.name, kind)
