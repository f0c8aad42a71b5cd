"""Remove runs and stale data from a store: vanished files, outdated rows, masks without an image."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from seglib.errors import StoreError, UnknownName
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.maintenance import quantized_models
from seglib.maintenance.status import (
    StoreStatus,
    _computed_ids,
    _image_files,
    _is_current,
    _is_in,
    _orphans,
    live_image_ids,
    read_status,
)
from seglib.store import ground_truth, pair_counts, tags
from seglib.store.embeddings import vectors
from seglib.store.own_columns import rewriting
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.pictures import packing
from seglib.store.pictures.picture_folder import PictureFolder
from seglib.store.schemas import FILES_SCHEMA, ODDITIES_SCHEMA, VANISHED, keep_newest_files, stats_schema
from seglib.store.store import Store


def prune(store: Store) -> StoreStatus:
    """Remove stale data and return the status from before, with `left_in_packs`. Never touches the masks and rows of
    existing files.

    Tags and own columns are manual work, so those of vanished images are kept in case they come back; only what was
    undone, removed or replaced is dropped.
    Raises `StoreError` if a run is writing to the store, or a record or a part is damaged.
    """
    with lock(store.path):
        if store.atomic.has_other_writers():  # it writes masks before rows; later writers wait for the lock
            raise StoreError("A run is writing to this store: prune it when the run is done.")
        for why in (*store.damaged_runs().values(), *store.damaged_datasets().values()):
            raise StoreError(why)  # otherwise its data would look orphaned
        for why in (*photo_measures.find_damaged(store).values(), *_damaged_embeddings(store)):
            raise StoreError(why)  # before anything is removed
        before = read_status(store)
        alive = live_image_ids(store)
        for dataset in store.datasets():
            _rewrite_parts(store, store.files_folder(dataset), FILES_SCHEMA, _present_files)
        left = 0
        for run in store.runs():
            _rewrite_parts(store, store.stats_folder(run), stats_schema(run.classes), partial(_newest_alive, alive))
            _remove_stale_embeddings(store, store.embeddings_folder(run), alive)
            _rewrite_parts(store, store.oddities_folder(run.run), ODDITIES_SCHEMA, partial(_newest_alive, alive))
            left += _remove_stale_pictures(store, store.masks(run.run), alive)
        left += _remove_stale_pictures(store, store.thumbnails(), alive & _computed_ids(store))
        _rewrite_parts(store, store.photo_measures_folder(), photo_measures.SCHEMA, partial(_newest_alive, alive))
        tags.compact(store)
        rewriting.compact(store, {dataset.id for dataset in store.datasets()})
        ground_truth.prune(store, alive)
        for folder in _orphans(store):
            store.atomic.discard(folder)
        for folder, schema, key in pair_counts.part_folders(store):
            _rewrite_parts(store, folder, schema, partial(_newest_current, store, folder, key, alive))
        for evaluation in store.evaluation_folders():
            _remove_stale_files(pair_counts.doubts_folder(evaluation), alive)
        for folder in ground_truth.unused_folders(store):
            store.atomic.discard(folder)
        for folder in (*quantized_models.unused_folders(store), *_unused_caches(store)):
            store.atomic.discard(folder)
        store.atomic.sweep()
        store.atomic.close()
    return replace(before, left_in_packs=left)


def remove_run(store: Store, name: str) -> None:
    """Remove a run with its statistics, masks, comparisons and evaluations; file rows and thumbnails are kept.

    Raises `UnknownName` if there is no such run, `StoreError` if a process is adding to it.
    """
    known = [path.name for path in store.run_folders()]
    if name not in known:
        raise UnknownName("run", name, known)
    with lock(store.path):
        if store.atomic.is_run_claimed(name):
            raise StoreError(f"A process is adding to the run {name}: remove it when that is done.")
        store.atomic.discard(store.run_folder(name))
        for orphan in (*_orphans(store), *_unused_caches(store)):
            store.atomic.discard(orphan)
        store.atomic.close()


def _damaged_embeddings(store: Store) -> Iterator[str]:
    """Yield what is wrong with each damaged part of a run's embeddings, and what to do."""
    for run in store.runs():
        yield from parquet_parts.survey(store.embeddings_folder(run), vectors.REMEDY).damaged.values()


def _remove_stale_embeddings(store: Store, folder: Path, alive: set[str]) -> None:
    """Rewrite part by part, since together they may not fit into memory: the newest first, so that of an image in
    several parts, as a killed `prune` leaves them, its newest row stays. Sets that were brought along are kept whole,
    as tags are: they are somebody's work.
    """
    wanted = set(alive)
    for name in reversed(parquet_parts.list_parts(folder)):
        kept = _rewrite_parts(store, folder, vectors.SCHEMA, partial(_newest_alive, wanted), [name])
        wanted.difference_update(kept["image_id"].to_pylist())


def _unused_caches(store: Store) -> list[Path]:
    """Cached projections and prepared tables of what is gone."""
    runs = {path.parent.name for path in store.run_records()}
    sources = runs | {path.parent.name for path in store.embedding_records()}
    projections = [folder for folder in store.projection_folders() if folder.name not in sources]
    return [*projections, *(folder for folder in store.table_folders() if folder.name not in runs)]


def _present_files(rows: pa.Table) -> pa.Table:
    """The newest row of each path, without vanished files."""
    newest = keep_newest_files(rows)
    return newest.filter(pc.or_kleene(pc.is_null(newest["reason"]), pc.not_equal(newest["reason"], VANISHED)))


def _newest_alive(alive: set[str], rows: pa.Table) -> pa.Table:
    return parquet_parts.keep_newest(rows.filter(_is_in(rows["image_id"], alive)), ["image_id"])


def _newest_current(store: Store, folder: Path, key: Sequence[str], alive: set[str], rows: pa.Table) -> pa.Table:
    return parquet_parts.keep_newest(rows.filter(_is_current(store, folder, rows, alive)), key)


def _remove_stale_pictures(store: Store, pictures: PictureFolder, alive: set[str]) -> int:
    """Returns the number of those that stay, in packs of which half or more is used."""
    _remove_stale_files(pictures.folder, alive)
    left = 0
    for pack, dead in packing.count_dead(pictures, alive).items():
        if packing.is_stale(pack, dead):
            packing.rewrite_packs(pictures, store.atomic, [pack], alive)
        else:
            left += dead
    return left


def _remove_stale_files(folder: Path, alive: set[str]) -> None:
    for path in list(_image_files(folder)):
        if path.stem not in alive:
            path.unlink(missing_ok=True)


def _rewrite_parts(
    store: Store,
    folder: Path,
    schema: pa.Schema,
    select_rows: Callable[[pa.Table], pa.Table],
    names: list[str] | None = None,
) -> pa.Table:
    """Replace a folder's parts (those `names`, or all) with the kept rows, and return these; a reader in between sees
    rows twice rather than none.

    Only the parts that were read are deleted, so parts that others append meanwhile are kept.
    """
    if folder.is_symlink():
        raise StoreError(
            f"{'/'.join(folder.parts[-2:])} is a link, but a store's folders must not be links: put a folder there."
        )
    old = parquet_parts.list_parts(folder) if names is None else names
    every = parquet_parts.read_parts(folder, old, schema)
    table = select_rows(every)
    if table.num_rows == every.num_rows:
        return table
    if table.num_rows:
        parquet_parts.append(store.atomic, folder, table)
    for name in old:
        (folder / name).unlink(missing_ok=True)
    return table
