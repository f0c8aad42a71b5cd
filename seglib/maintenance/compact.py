"""Merge small Parquet parts into large ones, and single pictures into packs."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from seglib.errors import DamagedFileError, StoreError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import LOCK_WAIT_SECONDS, lock
from seglib.progress import OnProgress, Progress
from seglib.store import ground_truth, pair_counts, tags
from seglib.store.embeddings import brought, vectors
from seglib.store.own_columns import log as own_columns
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.pictures import packing
from seglib.store.records import PACKED_LAYOUT, Run
from seglib.store.schemas import FILES_SCHEMA, ODDITIES_SCHEMA, stats_schema
from seglib.store.store import Store

THUMBNAILS = "thumbnails"


def part_folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Yield every folder of parts with its schema and the key columns that identify duplicate rows."""
    for dataset in store.datasets():
        yield store.files_folder(dataset), FILES_SCHEMA, ("path", "scan")
    for run in store.runs():
        yield store.stats_folder(run), stats_schema(run.classes), ("image_id",)
        yield store.embeddings_folder(run), vectors.SCHEMA, vectors.KEY
        yield store.oddities_folder(run.run), ODDITIES_SCHEMA, ("image_id",)
    for one in brought.list_sets(store):
        yield store.brought_folder(one.name), vectors.SCHEMA, vectors.KEY
    yield from pair_counts.part_folders(store)
    yield from ground_truth.part_folders(store)
    yield store.tags_folder(), tags.SCHEMA, tags.KEY
    yield from own_columns.part_folders(store)
    yield store.photo_measures_folder(), photo_measures.SCHEMA, photo_measures.KEY


def merge_parts(store: Store, *, wait_seconds: float = LOCK_WAIT_SECONDS) -> None:
    """Merge the small parts of every folder, newest row of a key last; folders with a damaged part are skipped."""
    with lock(store.path, wait_seconds=wait_seconds):
        for folder, schema, key in part_folders(store):
            with contextlib.suppress(DamagedFileError):
                parquet_parts.merge(store.atomic, folder, schema, key)


def pack_pictures(
    store: Store, runs: Sequence[Run] | None = None, *, on_progress: OnProgress | None = None
) -> dict[str, int]:
    """Move single masks and thumbnails into packs; returns how many of each run, and of `thumbnails`.

    With `runs`, only the masks of these. Waits for no one but for other cleaning; each pack is finished by itself, so
    that whatever ends this, the same call goes on. Raises `StoreError` while a run is writing to the store.
    """
    folders = {run.run: store.masks(run.run) for run in (store.runs() if runs is None else runs)}
    if runs is None:
        folders[THUMBNAILS] = store.thumbnails()
    moved = dict.fromkeys(folders, 0)
    for name, pictures in folders.items():
        progress, after = Progress(title=name, total=sum(1 for _ in pictures.single_files())), ""
        while True:
            with _nobody_writing(store):
                if not progress.done and progress.total:
                    store.raise_layout(PACKED_LAYOUT)
                files = packing.pack_next(pictures, store.atomic, after)
                if not files:
                    packing.merge_small_packs(pictures, store.atomic)
                    break
            after, moved[name] = files[-1].name, moved[name] + len(files)
            progress.done = moved[name]
            if on_progress is not None:
                on_progress(progress)
    return moved


@contextlib.contextmanager
def _nobody_writing(store: Store) -> Iterator[None]:
    with lock(store.path):  # later writers wait for the lock
        if store.atomic.has_other_writers():
            raise StoreError("A run is writing to this store: pack it when the run is done.")
        yield
        store.atomic.close()


def try_merge_parts(store: Store) -> None:
    try:
        merge_parts(store, wait_seconds=1)
    except StoreError:
        return  # locked by another process; compaction is optional
