"""Merge small Parquet parts into large ones."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from seglib.errors import Damaged, StoreError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.store import ground_truth, pair_counts, tags
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store


def folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Every folder of parts, its schema, and the columns of which equal rows are one."""
    for dataset in store.datasets():
        yield store.files_folder(dataset), FILES_SCHEMA, ("path", "scan")
    for run in store.runs():
        yield store.stats_folder(run), stats_schema(run.classes), ("image_id",)
    yield from pair_counts.folders(store)
    yield from ground_truth.folders(store)
    yield tags.folder(store), tags.SCHEMA, tags.KEY


def merge_parts(store: Store, *, wait_seconds: float = 30) -> None:
    """Merge the small parts of every folder, newest row of a key last; a folder with a damaged part stays as it is."""
    with lock(store.path, wait_seconds=wait_seconds):
        for folder, schema, key in folders(store):
            with contextlib.suppress(Damaged):
                parquet_parts.merge(store.scratch, folder, schema, key)


def tidy(store: Store) -> None:
    try:
        merge_parts(store, wait_seconds=1)
    except StoreError:
        return  # somebody else is at it: nothing that a comparison needs
