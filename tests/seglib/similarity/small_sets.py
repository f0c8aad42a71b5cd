"""Embeddings that a person can check by eye."""

import numpy as np
import pyarrow as pa

from seglib.similarity.embeddings import Embeddings
from seglib.store.embeddings.vectors import to_unit_length


def image_id(number: int) -> str:
    return f"{number:032x}"


def make_embeddings(rows) -> Embeddings:
    """Rows (N, D) as the embeddings of the images 0, 1, 2 ..."""
    vectors = to_unit_length(np.asarray(rows, np.float32))
    ids = pa.array([image_id(number) for number in range(len(vectors))], pa.string())
    return Embeddings(ids, vectors, "set")


def at_angles(*degrees: float) -> Embeddings:
    """Vectors in a plane at these angles."""
    radians = np.radians(degrees)
    return make_embeddings(np.stack([np.cos(radians), np.sin(radians)], axis=1))


def numbers(image_ids) -> list[int]:
    return [int(one, 16) for one in image_ids]
