"""Find the images most similar to others: exact cosine similarity, computed in blocks of rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from seglib.errors import UsageError
from seglib.fileio.parallel import default_worker_count
from seglib.similarity.embeddings import Embeddings, Ids
from seglib.store.embeddings.vectors import widen

_BLOCK_NUMBERS = 1 << 20  # of float32 at once, 4 MB


def find_similar(
    embeddings: Embeddings,
    query: Ids | NDArray[np.floating],
    number: int = 20,
    *,
    exclude: Ids = (),
    among: Ids | None = None,
) -> pd.DataFrame:
    """The images most similar to the query, most similar first: columns image_id, similarity (float32, -1..1).

    Args:
        embeddings: Where to search.
        query: Image_ids, which are left out of the answer, or vectors, float (D,) or (Q, D). Of several, the mean
            direction is searched for.
        number: How many images to return at most.
        exclude: Images that are left out.
        among: The only images to consider; default: all.

    Raises:
        UsageError: An image has no vector, or the vectors have another number of dimensions.
    """
    vector = query_vector(embeddings, query)
    similarity = similarities(embeddings, vector)
    allowed = np.ones(len(embeddings), bool)
    if among is not None:
        allowed[:] = False
        positions = embeddings.positions(among)
        allowed[positions[positions >= 0]] = True
    for left_out in (exclude, () if isinstance(query, np.ndarray) and query.dtype.kind == "f" else query):
        positions = embeddings.positions(left_out)
        allowed[positions[positions >= 0]] = False
    similarity[~allowed] = -np.inf
    count = min(number, int(allowed.sum()))
    best = (
        np.argpartition(-similarity, count - 1)[:count] if 0 < count < len(similarity) else np.arange(len(similarity))
    )
    best = best[np.argsort(-similarity[best], kind="stable")][:count]
    return pd.DataFrame({"image_id": embeddings.ids.take(pa.array(best)).to_pandas(), "similarity": similarity[best]})


def query_vector(embeddings: Embeddings, query: Ids | NDArray[np.floating]) -> NDArray[np.float32]:
    """float32 (D,) of unit length: the mean direction of these images or vectors. Raises `UsageError`."""
    if isinstance(query, np.ndarray) and query.dtype.kind == "f":
        rows = np.atleast_2d(query).astype(np.float32)
        if rows.shape[1] != embeddings.vectors.shape[1]:
            raise UsageError(
                f"The embeddings of {embeddings.source} have {embeddings.vectors.shape[1]} dimensions, and the vector "
                f"searched for has {rows.shape[1]}: take vectors of the same model."
            )
    else:
        positions = embeddings.positions(query)
        if not len(positions) or (positions < 0).any():
            missing = int((positions < 0).sum())
            raise UsageError(
                f"{missing or 'No'} of the photos searched for {'have' if missing != 1 else 'has'} "
                f"no embedding in {embeddings.source}: run the model over them, or take another source."
            )
        rows = embeddings.vectors[positions].astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    mean: NDArray[np.float32] = (rows / np.where(lengths > 0, lengths, 1)).mean(axis=0)
    length = float(np.linalg.norm(mean))
    if not np.isfinite(mean).all() or not length > 0:
        raise UsageError("The vector searched for is zero or not finite: it has no direction.")
    return (mean / length).astype(np.float32)


def similarities(embeddings: Embeddings, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (N,): cosine similarity of every image to a vector (D,) of unit length, -1..1."""
    rows = embeddings.vectors
    result = np.empty(len(rows), np.float32)
    step = max(1, _BLOCK_NUMBERS // max(1, rows.shape[1]))

    def compute(start: int) -> None:
        part = slice(start, start + step)
        np.dot(widen(rows[part]), vector, out=result[part])

    with ThreadPoolExecutor(default_worker_count()) as pool:
        list(pool.map(compute, range(0, len(rows), step)))
    return result.clip(-1, 1, out=result)
