"""How many photos a run has still to compute: of a folder as it is now, or of the datasets in the store.

Both are counted in the background, since a folder or a store may hold a million photos; nothing is opened.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dashboard.workers.background import BackgroundCache
from seglib.data.photo_root import resolve_root
from seglib.data.scan import STORE_MARKER, scan_folder
from seglib.errors import DatasetError, SegError
from seglib.fileio import parquet_parts
from seglib.pipeline.photo_index import readable_again
from seglib.pipeline.planning import count_pending
from seglib.store.records import Dataset, Run
from seglib.store.schemas import FILES_SCHEMA, keep_newest_files, stats_schema
from seglib.store.store import Store

SCAN_SECONDS = 60.0
"""A folder's scan is repeated after this time."""

WAIT_SECONDS = 0.3
"""How long a page waits for a count before it is drawn without."""


@dataclass(frozen=True, kw_only=True)
class FolderCounts:
    """Photos of a folder, or of the first `limit` of them, when it was scanned."""

    total: int
    """Photos in the folder, whatever the limit."""
    chosen: int
    pending: dict[str, int]
    """Run -> chosen photos that it has still to compute."""
    links_outside: int = 0
    """Links out of the folder, which a run leaves out."""
    time: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class StoreKey:
    path: Path
    version: str
    """Without tags; empty if there is no store yet."""


@dataclass(frozen=True)
class StoreCounts:
    """Photos of a run's datasets that the store knows; each content counts once."""

    total: int
    computed: int


_folder_counts: BackgroundCache[FolderCounts] = BackgroundCache(32)
_store_counts: BackgroundCache[StoreCounts] = BackgroundCache(256)


def clear() -> None:
    """Forget all counts."""
    _folder_counts.clear()
    _store_counts.clear()


def count_folder(store: StoreKey, folder: Path, runs: Sequence[str], limit: int | None) -> FolderCounts | None:
    """Return what these runs have still to compute of a folder; None while it is being counted."""
    return _folder_counts.get(
        (store, folder, tuple(runs), limit),
        lambda: _count_folder(folder, store.path, runs, limit),
        lambda counts: time.monotonic() - counts.time < SCAN_SECONDS,
        wait_seconds=WAIT_SECONDS,
        serve_stale=True,
    )


def count_store(store: StoreKey, runs: Sequence[Run]) -> dict[str, StoreCounts | None]:
    """Return how much of its datasets each run has computed; None while it is being counted, or if it cannot be."""
    deadline = time.monotonic() + WAIT_SECONDS
    counts = {}
    for run in runs:
        counts[run.run] = _store_counts.get(
            (store, run.run),
            lambda run=run: _count_store(Store(store.path), run),  # type: ignore[misc]
            lambda _: True,
            wait_seconds=max(0.0, deadline - time.monotonic()),
        )
    return counts


def datasets_of(store: Store, run: Run) -> list[Dataset]:
    """Return the datasets that a run was used on, as far as it recorded them."""
    used = {str(invocation.get("dataset")) for invocation in run.invocations}
    return [dataset for dataset in store.datasets() if dataset.id in used]


def _count_folder(folder: Path, path: Path, runs: Sequence[str], limit: int | None) -> FolderCounts:
    try:
        found = scan_folder(folder)
    except DatasetError:  # the last photo was deleted in the meantime
        return FolderCounts(total=0, chosen=0, pending=dict.fromkeys(runs, 0))
    records = found.records
    chosen = records.iloc[:limit]
    pending = dict.fromkeys(runs, len(chosen))
    if runs and (path / STORE_MARKER).is_file():
        with contextlib.suppress(SegError):  # of a damaged store nothing is known
            store, root = Store(path), folder.resolve()
            dataset = next((dataset for dataset in store.datasets() if resolve_root(dataset.root) == root), None)
            if dataset is not None:
                files = store.files(dataset)
                again = readable_again(dataset, files)
                for name in runs:
                    pending[name] = count_pending(chosen, files, store.computed_ids(store.run(name)), again)
    links = found.left_out.links_outside
    return FolderCounts(total=len(records), chosen=len(chosen), pending=pending, links_outside=links)


def _count_store(store: Store, run: Run) -> StoreCounts:
    """Reads columns of ids only, as arrays; what cannot be read counts as nothing, since the page says why."""
    try:
        known = [_present_ids(store, dataset) for dataset in datasets_of(store, run)]
        stats = parquet_parts.read(store.stats_folder(run), stats_schema(run.classes), ["image_id"])
    except SegError:
        return StoreCounts(0, 0)
    ids = pc.unique(pa.chunked_array(known, pa.string()))
    computed = pc.sum(pc.is_in(ids, value_set=pc.unique(stats["image_id"].cast(pa.string())))).as_py()
    return StoreCounts(len(ids), int(computed or 0))


def _present_ids(store: Store, dataset: Dataset) -> pa.Array:
    """Ids of the readable files of the newest scan."""
    files = parquet_parts.read(store.files_folder(dataset), FILES_SCHEMA, ["path", "image_id", "reason", "scan"])
    files = keep_newest_files(files)
    return files.filter(pc.is_null(files["reason"]))["image_id"].cast(pa.string()).combine_chunks()
