"""What jobs compute from embeddings, and where the pages find it: beside the projections, in
`<store>/cache/projections/<source>/<kind>-<task>-<run>-<key>.parquet`.

`compute` does a task and keeps its result, `find_result` returns what was kept. A key changes with the parts that a
result was computed from, so a kept one is never wrong; the folder may be deleted at any time. UMAP and PaCMAP are kept
by `seglib.similarity.projection`.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import cast, get_args

import pandas as pd

from seglib.errors import UsageError
from seglib.fileio import parquet_parts
from seglib.similarity.duplicates import find_near_duplicates
from seglib.similarity.embeddings import Embeddings, VectorKind, find_source, read_embeddings
from seglib.similarity.files import FILE_COLUMNS
from seglib.similarity.hashes import read_hashes
from seglib.similarity.outliers import find_outliers
from seglib.similarity.projection import METHODS, Method, available_methods, keep_projection
from seglib.store.store import Store

DUPLICATES, OUTLIERS = "duplicates", "outliers"
PROJECTIONS: tuple[str, ...] = METHODS
TASKS: tuple[str, ...] = (DUPLICATES, OUTLIERS, *PROJECTIONS)

_VERSION = 1
"""Incremented when a change of the code changes results."""

OnShare = Callable[[int, int], None]
"""Called with the number of photos that are done, and of all."""


def check_request(store: Store, task: str, source: str, kind: str) -> None:
    """Raise `SegError` unless this can be computed: the values come from the browser."""
    if task not in TASKS:
        raise UsageError(f"A task on embeddings is one of {', '.join(TASKS)}, not {task!r}.")
    if task in METHODS and task not in available_methods():
        raise UsageError(f"{task} needs a package that is not installed: pip install '.[map]'.")
    if kind not in get_args(VectorKind) or kind not in find_source(store, source).kinds:
        raise UsageError(f"{source} has no vectors of kind {kind!r}.")


def compute(store: Store, task: str, run: str, *, source: str, kind: str, on_share: OnShare) -> int:
    """Do a task, keep its result, and return the number of photos that it is about."""
    embeddings = read_embeddings(store, source, cast(VectorKind, kind))
    if task in PROJECTIONS:
        keep_projection(store, embeddings, cast(Method, task))
        return len(embeddings)
    path = result_path(store, task, run, source=source, kind=kind)
    files = store.table([run], with_tags=False, with_measures=False)[list(FILE_COLUMNS)]
    embeddings = embeddings.only(files["image_id"])
    total = len(embeddings)
    result = compute_result(store, task, files, embeddings, lambda share: on_share(round(share * total), total))
    buffer = io.BytesIO()
    result.to_parquet(buffer, index=False)
    store.atomic.write(path, buffer.getvalue())
    for other in path.parent.glob(f"{kind}-{task}-{run}-*.parquet"):
        if other != path:
            other.unlink(missing_ok=True)
    return total


def compute_result(
    store: Store,
    task: str,
    files: pd.DataFrame,
    embeddings: Embeddings,
    on_share: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Return the frame of `find_near_duplicates` or `find_outliers` for these files. `embeddings`: of them alone."""
    if task == OUTLIERS:
        return find_outliers(embeddings, on_share=on_share)
    return find_near_duplicates(embeddings, read_hashes(store, embeddings.ids.to_pylist()), files)


def find_result(path: Path) -> pd.DataFrame | None:
    """Return what was kept at a `result_path`; None if nothing was, or it cannot be read."""
    try:
        frame: pd.DataFrame = pd.read_parquet(io.BytesIO(path.read_bytes()))
    except (OSError, ValueError):  # pyarrow's errors are ValueErrors
        return None
    return frame


def result_path(store: Store, task: str, run: str, *, source: str, kind: str) -> Path:
    """Return where the result of a task is kept, as long as the parts that it depends on are these."""
    digest = hashlib.sha256(f"{_VERSION} {task} {run} {source} {kind}\n".encode())
    folders = [store.run_folder(run) / "stats", store.run_folder(source) / "embeddings", store.brought_folder(source)]
    folders += [record.parent / "files" for record in store.dataset_records()]
    for folder in folders:
        for name in parquet_parts.list_parts(folder):
            digest.update(f"{folder.relative_to(store.path).as_posix()}/{name}\n".encode())
    name = f"{kind}-{task}-{run}-{digest.hexdigest()[:16]}.parquet"
    return store.projections_folder(source) / name
