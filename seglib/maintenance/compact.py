"""Merge small Parquet parts into large ones."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from seglib.errors import DamagedFileError, StoreError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import LOCK_WAIT_SECONDS, lock
from seglib.store import ground_truth, pair_counts, tags
from seglib.store.embeddings import brought, vectors
from seglib.store.own_columns import log as own_columns
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.schemas import FILES_SCHEMA, ODDITIES_SCHEMA, stats_schema
from seglib.store.store import Store


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


def try_merge_parts(store: Store) -> None:
    try:
        merge_parts(store, wait_seconds=1)
    except StoreError:
        return  # locked by another process; compaction is optional
