"""Find the nearest neighbours of every image: exact up to `EXACT_ROWS`, beyond that in clusters.

The second way is that of an inverted file (Jégou, Douze, Schmid 2011, "Product quantization for nearest neighbor
search", section IV, without the quantisation): rows are put into about sqrt(N) clusters by k-means, and the neighbours
of a row are looked for in its own cluster and the `_PROBES` - 1 nearest ones. `benchmarks/similarity.py` measures how
many of the exact neighbours that finds.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from seglib.store.embeddings.vectors import widen

EXACT_ROWS = 20_000

_PROBES = 16
"""Clusters in which the neighbours of one cluster's rows are looked for, itself included."""

_BLOCK_NUMBERS = 1 << 23  # of float32 at once, 32 MB

_SAMPLE_PER_CLUSTER = 64  # rows for k-means

_ITERATIONS = 8

OnShare = Callable[[float], None]
"""Called with the share of the work that is done, 0..1."""


def find_neighbours(
    vectors: NDArray[np.float16], k: int, *, seed: int = 0, on_share: OnShare | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """float16 (N, D) of unit length -> the k nearest other rows of each row, nearest first, and their similarity.

    (N, min(k, N - 1)) each: positions int32, and cosine similarity float32 in -1..1. Beyond `EXACT_ROWS`, a row whose
    clusters hold fewer than k others has -1 and a similarity of -1 in the last places.
    """
    count = len(vectors)
    k = max(0, min(k, count - 1))
    positions, similarity = np.full((count, k), -1, np.int32), np.full((count, k), -1, np.float32)
    if k == 0:
        return positions, similarity
    everything = np.arange(count, dtype=np.int32)
    groups = [(everything, everything)] if count <= EXACT_ROWS else _group_rows(vectors, seed)
    done = 0
    for rows, candidates in groups:
        others = widen(vectors[candidates]).T
        step = max(1, _BLOCK_NUMBERS // len(candidates))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            positions[block], similarity[block] = _nearest(vectors[block], block, others, candidates, k)
            done += len(block)
            if on_share is not None:
                on_share(done / count)
    return positions, similarity


def _nearest(
    block: NDArray[np.float16],
    rows: NDArray[np.int32],
    others: NDArray[np.float32],
    candidates: NDArray[np.int32],
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k nearest of the candidates (D, M), sorted by row, for each row of the block; itself left out."""
    distance = np.negative(widen(block) @ others)  # (b, M), of which the smallest are the nearest
    distance[np.arange(len(rows)), np.searchsorted(candidates, rows)] = np.inf
    found = min(k, len(candidates) - 1)
    best = np.argpartition(distance, found, axis=1)[:, :found]
    near = np.take_along_axis(distance, best, 1)
    order = np.argsort(near, axis=1, kind="stable")
    positions, similarity = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), -1, np.float32)
    positions[:, :found] = candidates[np.take_along_axis(best, order, 1)]
    similarity[:, :found] = np.negative(np.take_along_axis(near, order, 1)).clip(-1, 1)
    return positions, similarity


def _group_rows(vectors: NDArray[np.float16], seed: int) -> "list[tuple[NDArray[np.int32], NDArray[np.int32]]]":
    """Per cluster its rows, and the rows among which their neighbours are looked for, sorted."""
    centres = _find_centres(vectors, round(len(vectors) ** 0.5), seed)
    cluster = _assign(vectors, centres)
    by_cluster = np.argsort(cluster, kind="stable").astype(np.int32)
    members = np.split(by_cluster, np.cumsum(np.bincount(cluster, minlength=len(centres)))[:-1])
    near = np.argsort(-(centres @ centres.T), axis=1)[:, :_PROBES]
    return [
        (rows, np.sort(np.concatenate([members[other] for other in {*near[index].tolist(), index}])))
        for index, rows in enumerate(members)
        if len(rows)
    ]


def _find_centres(vectors: NDArray[np.float16], count: int, seed: int) -> NDArray[np.float32]:
    """float32 (count, D) of unit length: spherical k-means on a sample (Dhillon, Modha 2001)."""
    generator = np.random.default_rng(seed)
    size = min(len(vectors), count * _SAMPLE_PER_CLUSTER)
    sample = vectors[np.sort(generator.choice(len(vectors), size, replace=False))]
    centres = sample[generator.choice(size, count, replace=False)].astype(np.float32)
    for _ in range(_ITERATIONS):
        cluster = _assign(sample, centres)
        order = np.argsort(cluster, kind="stable")
        filled, starts = np.unique(cluster[order], return_index=True)
        sums = np.add.reduceat(widen(sample[order]), starts, axis=0)
        centres[filled] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres


def _assign(vectors: NDArray[np.float16], centres: NDArray[np.float32]) -> NDArray[np.int32]:
    """int32 (N,): the nearest centre of each row."""
    cluster = np.empty(len(vectors), np.int32)
    step = max(1, _BLOCK_NUMBERS // max(centres.shape))
    for start in range(0, len(vectors), step):
        part = slice(start, start + step)
        cluster[part] = (widen(vectors[part]) @ centres.T).argmax(axis=1)
    return cluster
