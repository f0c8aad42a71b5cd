"""Remove from a store what is stale: replaced runs, vanished files, masks that nothing refers to."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from seglib.errors import StoreError, UnknownName
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.maintenance.status import (
    Status,
    _computed_ids,
    _of_these,
    _orphans,
    _pictures,
    _spoken_of,
    alive_ids,
    status,
)
from seglib.store import ground_truth, pair_counts, quantized_models, tags
from seglib.store.schemas import FILES_SCHEMA, VANISHED, newest_files, stats_schema
from seglib.store.store import Store


def prune(store: Store) -> Status:
    """Remove what is stale; returns the status before. Masks and rows of files that are there are never touched.

    Tags are people's work: those of a photo that is gone stay, for the day it comes back. What goes is their history.
    """
    with lock(store.path):
        if store.scratch.other_writers():  # its masks lie there before their rows do; a later one waits for the lock
            raise StoreError("A run is writing to this store: prune it when the run is done.")
        for why in (*store.damaged_runs().values(), *store.damaged_datasets().values()):
            raise StoreError(why)  # else what belongs to it would pass for what belongs to nothing
        before = status(store)
        alive = alive_ids(store)
        for dataset in store.datasets():
            _keep_rows(store, store.files_folder(dataset), FILES_SCHEMA, _present_files)
        for run in store.runs():
            _keep_rows(store, store.stats_folder(run), stats_schema(run.classes), partial(_newest_alive, alive))
            _remove_pictures(store.path / "runs" / run.run / "masks", alive)
        _remove_pictures(store.path / "thumbs", alive & _computed_ids(store))
        tags.compact(store)
        ground_truth.prune(store, alive)
        for folder in _orphans(store):
            store.scratch.discard(folder)
        for folder, schema, key in pair_counts.folders(store):
            _keep_rows(store, folder, schema, partial(_newest_spoken_of, store, folder, key, alive))
        for folder in ground_truth.unused(store):
            store.scratch.discard(folder)
        for folder in quantized_models.unused_folders(store):
            store.scratch.discard(folder)
        for folder in (store.path / "cache" / "photos", *(store.path / "cache" / "uncertainty").glob("*")):
            _remove_pictures(folder, alive)  # what the dashboard made of a photo goes with it
        store.scratch.sweep()
        store.scratch.close()
    return before


def remove_run(store: Store, name: str) -> None:
    """Remove a run: its statistics, masks, comparisons and evaluations. Other runs, files and thumbnails stay."""
    folder = store.path / "runs" / name
    known = [path.name for path in store.path.glob("runs/*")]
    if name not in known:
        raise UnknownName("run", name, known)
    with lock(store.path):
        if store.scratch.claimed(name):
            raise StoreError(f"A process is adding to the run {name}: remove it when that is done.")
        store.scratch.discard(folder)
        shutil.rmtree(store.path / "cache" / "uncertainty" / name, ignore_errors=True)  # what the dashboard made of it
        for orphan in _orphans(store):
            store.scratch.discard(orphan)
        store.scratch.close()


def _present_files(rows: pa.Table) -> pa.Table:
    """The newest row of each path, without those that vanished."""
    newest = newest_files(rows)
    return newest.filter(pc.or_kleene(pc.is_null(newest["reason"]), pc.not_equal(newest["reason"], VANISHED)))


def _newest_alive(alive: set[str], rows: pa.Table) -> pa.Table:
    return parquet_parts.newest(rows.filter(_of_these(rows["image_id"], alive)), ["image_id"])


def _newest_spoken_of(store: Store, folder: Path, key: Sequence[str], alive: set[str], rows: pa.Table) -> pa.Table:
    return parquet_parts.newest(rows.filter(_spoken_of(store, folder, rows, alive)), key)


def _remove_pictures(folder: Path, alive: set[str]) -> None:
    for path in list(_pictures(folder)):
        if path.stem not in alive:
            path.unlink(missing_ok=True)


def _keep_rows(store: Store, folder: Path, schema: pa.Schema, kept: Callable[[pa.Table], pa.Table]) -> None:
    """Write the new part, then delete the old ones: whoever reads in between sees rows twice, never none.

    The parts that are read are the parts that are deleted: what others append meanwhile stays.
    """
    if folder.is_symlink():
        raise StoreError(
            f"{'/'.join(folder.parts[-2:])} is a link, and a store's folders are none: put a folder there."
        )
    old = parquet_parts.names(folder)
    every = parquet_parts.read_these(folder, old, schema)
    table = kept(every)
    if table.num_rows == every.num_rows:
        return
    if table.num_rows:
        parquet_parts.append(store.scratch, folder, table)
    for name in old:
        (folder / name).unlink(missing_ok=True)
