"""What the page Similar is about: the selected photos of a run, and the embeddings by which they are compared."""

from dataclasses import dataclass

import numpy as np

from dashboard.queries.photos import Selection
from dashboard.queries.similarity import vectors as vector_queries
from dashboard.queries.similarity.vectors import OfferedVectors, VectorSet
from dashboard.queries.source import PhotoQuery


@dataclass(frozen=True)
class SimilarScope:
    selection: Selection
    chosen: OfferedVectors
    offered: tuple[OfferedVectors, ...]
    note: str = ""
    """Why these are not the embeddings that the link names; empty if they are."""

    @property
    def vectors(self) -> VectorSet:
        return self.chosen.vectors

    @property
    def query(self) -> PhotoQuery:
        return self.selection.query()

    @property
    def with_vector(self) -> int:
        """Number of files of the run that have a vector."""
        return int(np.count_nonzero(vector_queries.rows_of(self.selection.source, self.vectors) >= 0))


def select_scope(selection: Selection) -> SimilarScope | None:
    """Return the scope of a view; None if the store holds no embeddings."""
    offered = tuple(vector_queries.offered(selection.source))
    if not offered:
        return None
    wanted = selection.view.embeddings
    named = next((one for one in offered if one.vectors.name == wanted), None)
    note = f"This link speaks of embeddings that are not in this store: {wanted}." if wanted and not named else ""
    return SimilarScope(selection, named or offered[0], offered, note)
