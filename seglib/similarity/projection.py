"""Lay embeddings out in a plane: principal components at once, UMAP or PaCMAP with the extra `map`.

`project` computes; `find_projection` and `keep_projection` read and write the store's cache, so that a page asks for a
projection without computing it, and a job computes it once.
"""

import hashlib
import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seglib.errors import SegError, UnknownName
from seglib.similarity.embeddings import Embeddings
from seglib.store.embeddings.vectors import widen
from seglib.store.store import Store

Method = Literal["pca", "umap", "pacmap"]
METHODS: tuple[Method, ...] = ("pca", "umap", "pacmap")
LABELS: dict[str, str] = {"pca": "PCA", "umap": "UMAP", "pacmap": "PaCMAP"}

_PACKAGES = {"umap": "umap", "pacmap": "pacmap"}

_VERSION = 2
"""Incremented when a change of the code changes projections."""

_PCA_ROWS = 8192
"""Rows, evenly spread, from which the principal components of more are taken: two directions need no more."""


def available_methods() -> tuple[Method, ...]:
    """The methods whose packages are installed; `pca` always is."""
    return tuple(one for one in METHODS if one not in _PACKAGES or find_spec(_PACKAGES[one]) is not None)


def project(vectors: NDArray[np.float16], method: Method = "pca", *, seed: int = 0) -> NDArray[np.float32]:
    """(N, D) -> float32 (N, 2), centred on 0; the same for the same vectors and seed.

    pca: the two directions of largest variance, at a million rows in seconds. umap (McInnes et al. 2018) and pacmap
    (Wang et al. 2021): keep neighbours together, and take minutes from about 100,000 rows on. Fewer than four rows are
    laid out by pca, whatever the method.

    Raises `UnknownName` for another method, `SegError` if its package is missing.
    """
    if method not in METHODS:
        raise UnknownName("projection", method, METHODS)
    if method not in available_methods():
        raise SegError(
            f"{LABELS[method]} needs the package {_PACKAGES[method]}, which is not installed: "
            "pip install '.[map]' in the project's folder, or take the method pca."
        )
    return _PROJECTIONS["pca" if len(vectors) < 4 else method](vectors, seed)


def find_projection(
    store: Store, embeddings: Embeddings, method: Method = "pca", *, seed: int = 0
) -> NDArray[np.float32] | None:
    """float32 (N, 2) from the store's cache, row by row that of `embeddings`; None if nobody has computed it yet."""
    try:
        data = _cache_path(store, embeddings, method, seed).read_bytes()
        points: NDArray[np.float32] = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = points.shape == (len(embeddings), 2) and points.dtype == np.float32 and np.isfinite(points).all()
    return points if fits else None


def keep_projection(
    store: Store, embeddings: Embeddings, method: Method = "pca", *, seed: int = 0
) -> NDArray[np.float32]:
    """The same as `find_projection`, computed and written to the cache if it is not there.

    What the cache held for other vectors of this source, kind and method is removed.
    """
    points = find_projection(store, embeddings, method, seed=seed)
    if points is None:
        points = project(embeddings.vectors, method, seed=seed)
        buffer = io.BytesIO()
        np.save(buffer, points)
        path = _cache_path(store, embeddings, method, seed)
        store.atomic.write(path, buffer.getvalue())
        for other in path.parent.glob(f"{embeddings.kind}-{method}-*.npy"):
            if other != path:
                other.unlink(missing_ok=True)
    return points


def _cache_path(store: Store, embeddings: Embeddings, method: Method, seed: int) -> Path:
    """A name that changes with the images, a sample of their vectors, the method, the seed and the code."""
    digest = hashlib.sha256(f"{_VERSION} {method} {seed} {len(embeddings)}\n".encode())
    data, offset = embeddings.ids.buffers()[2], embeddings.ids.offset
    ids = memoryview(data)[32 * offset : 32 * (offset + len(embeddings))] if data is not None else b""
    digest.update(ids)
    digest.update(np.ascontiguousarray(embeddings.vectors[:: max(1, len(embeddings) // 1000)]).tobytes())
    name = f"{embeddings.kind}-{method}-{digest.hexdigest()[:16]}.npy"
    return store.projections_folder(embeddings.source) / name


def _project_pca(vectors: NDArray[np.float16], _seed: int) -> NDArray[np.float32]:
    """Eigenvectors of the covariance (D, D) of at most `_PCA_ROWS` rows; the largest loading is positive."""
    if not len(vectors):
        return np.empty((0, 2), np.float32)
    blocks = [vectors[start : start + 8192] for start in range(0, len(vectors), 8192)]
    mean = sum(widen(block).sum(axis=0, dtype=np.float64) for block in blocks) / len(vectors)
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), _PCA_ROWS)).round().astype(np.intp)
    centred = widen(vectors[rows]) - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64)
    axes = np.linalg.eigh(covariance)[1][:, :-3:-1]  # (D, up to 2)
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = np.zeros((len(vectors), 2), np.float32)
    wide = axes.astype(np.float32)
    for number, block in enumerate(blocks):
        points[number * 8192 : number * 8192 + len(block), : axes.shape[1]] = (
            widen(block) - mean.astype(np.float32)
        ) @ wide
    return points


def _project_umap(vectors: NDArray[np.float16], seed: int) -> NDArray[np.float32]:
    import umap

    reducer = umap.UMAP(
        n_components=2, n_neighbors=min(15, len(vectors) - 1), metric="cosine", random_state=seed, n_jobs=1
    )
    return _centre(reducer.fit_transform(vectors.astype(np.float32)))


def _project_pacmap(vectors: NDArray[np.float16], seed: int) -> NDArray[np.float32]:
    import pacmap

    reducer = pacmap.PaCMAP(n_components=2, n_neighbors=min(10, len(vectors) - 1), random_state=seed)
    return _centre(reducer.fit_transform(vectors.astype(np.float32)))


def _centre(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(points - points.mean(axis=0), np.float32)


_PROJECTIONS: dict[str, Callable[[NDArray[np.float16], int], NDArray[np.float32]]] = {
    "pca": _project_pca,
    "umap": _project_umap,
    "pacmap": _project_pacmap,
}
