"""List the datasets of a store, give one another folder when its photos have moved, and forget one.

`move_dataset` and `forget_dataset` touch no photo. `recognise_folder` is what a run asks about a folder that is new to
the store: whether it holds the photos of a dataset whose folder is gone.
"""

import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from seglib.data.buckets.address import Bucket
from seglib.data.photo_root import PhotoRoot, is_gone, resolve_root
from seglib.errors import DatasetError, StoreError, UnknownName, UsageError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.maintenance.content_match import FolderMatch, find_touched, match_folder
from seglib.maintenance.prune import _rewrite_parts
from seglib.maintenance.status import find_images_by_dataset
from seglib.store.own_columns import rewriting
from seglib.store.records import Dataset
from seglib.store.schemas import FILES_SCHEMA, VANISHED, keep_newest_files
from seglib.store.store import Store


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    id: str
    dataset: str
    root: str
    """Absolute path of the folder."""
    available: bool
    """Whether the folder exists."""
    files: int
    """Readable and failed files of the newest scan."""
    shared: int
    """Images that another dataset of the store holds too."""


@dataclass(frozen=True, kw_only=True)
class MoveReport:
    dataset: str
    root: str
    """Absolute path of the folder that it has now."""
    files: int
    """Files of its newest scan."""
    found: int
    """Those of them that are in the folder."""
    merged: str | None
    """Name of the dataset that had this folder and is now a part of this one."""


@dataclass(frozen=True, kw_only=True)
class ForgetReport:
    dataset: str
    files: int
    """Files that have left the table."""
    images: int
    """Images that no other dataset holds; `prune` removes their results."""


def list_datasets(store: Store) -> list[DatasetEntry]:
    images = find_images_by_dataset(store)
    return [
        DatasetEntry(
            id=dataset.id,
            dataset=dataset.name,
            root=str(dataset.root),
            available=not is_gone(dataset.root),
            files=len(_known_files(store, dataset)),
            shared=len(images[dataset.name] & _images_elsewhere(images, dataset.name)),
        )
        for dataset in store.datasets()
    ]


def find_missing_folders(store: Store) -> list[Dataset]:
    """The datasets whose folder does not exist."""
    return [dataset for dataset in store.datasets() if is_gone(dataset.root)]


def find_dataset(store: Store, text: str | os.PathLike[str]) -> Dataset:
    """The dataset with this name, id or folder. Raises `UnknownName`, or `UsageError` if the text fits two."""
    folder, datasets = Path(text).resolve(), store.datasets()
    fitting = [
        d
        for d in datasets
        if os.fspath(text) in (d.name, d.id, str(d.root)) or d.root in (folder, Path(os.path.abspath(text)))
    ]
    if len(fitting) > 1:
        raise UsageError(
            f"{os.fspath(text)!r} fits {len(fitting)} datasets: name one by its id, "
            f"{' or '.join(f'{d.id} ({d.root})' for d in fitting)}."
        )
    if not fitting:
        raise UnknownName("dataset", os.fspath(text), [f"{d.name} ({d.root})" for d in datasets])
    return fitting[0]


def move_datasets(store: Store, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> list[MoveReport]:
    """`move_dataset`, and the same for the datasets below the folder `old` whose folders are gone."""
    folder, reports = Path(os.path.abspath(old)), []
    below = {d.id: Path(str(d.root)) for d in find_missing_folders(store)}
    gone = {i: root.relative_to(folder) for i, root in below.items() if root != folder and root.is_relative_to(folder)}
    if not gone or any(d.root == folder or os.fspath(old) in (d.name, d.id) for d in store.datasets()):
        reports.append(move_dataset(store, old, new))
    return [*reports, *(move_dataset(store, dataset_id, Path(new) / below) for dataset_id, below in gone.items())]


def move_dataset(store: Store, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> MoveReport:
    """Give a dataset the folder in which its photos are now; nothing has to be computed again.

    Args:
        store: The store.
        old: Name, id or former folder of the dataset.
        new: The folder in which its photos are now. If it has been scanned as a dataset of its own, that becomes a part
            of this one.

    Returns:
        How many files of the dataset are in the new folder.

    Raises:
        UnknownName: There is no such dataset.
        DatasetError: `new` is no folder, or does not hold most of the files, with their paths, sizes and contents.
        StoreError: A process is writing to the store.
    """
    folder = Path(new)
    if not folder.is_dir():
        raise DatasetError(f"{os.fspath(new)!r} is not a folder: name the folder in which the photos are now.")
    folder = folder.resolve()
    present = next((d for d in store.datasets() if resolve_root(d.root) == folder), None)
    try:
        dataset = find_dataset(store, old)
    except UnknownName:
        if present is None:
            raise
        dataset = present  # store and photos have moved together
    _refuse_writers(store, dataset)
    parts = parquet_parts.list_parts(store.files_folder(dataset))
    match = match_folder(store.files(dataset), folder)
    if not match.is_likely:
        raise DatasetError(_mismatch(dataset, folder, match))
    with lock(store.path):
        _refuse_writers(store, dataset)
        if parquet_parts.list_parts(store.files_folder(dataset)) != parts:
            raise StoreError(f"The files of {dataset.name!r} were scanned again meanwhile: try again.")
        merged = present if present is not None and present.id != dataset.id else None
        if merged is not None:
            _merge(store, merged, dataset)
        dataset = _move(store, dataset, folder, match)
        store.atomic.close()
    return MoveReport(
        dataset=dataset.name,
        root=str(folder),
        files=match.known,
        found=match.found,
        merged=merged.name if merged else None,
    )


def forget_dataset(store: Store, name: str | os.PathLike[str]) -> ForgetReport:
    """Remove a dataset, given by name, id or folder, from the store; its photos stay where they are.

    Its files leave the table. The results of images that no other dataset holds stay until `prune`. Raises
    `UnknownName`, or `StoreError` if a process is writing to the store.
    """
    dataset = find_dataset(store, name)
    with lock(store.path):
        _refuse_writers(store, dataset)
        files, images = _known_files(store, dataset), find_images_by_dataset(store)
        store.atomic.discard(store.dataset_record(dataset.id).parent)
        store.atomic.close()
    alone = images[dataset.name] - _images_elsewhere(images, dataset.name)
    return ForgetReport(dataset=dataset.name, files=len(files), images=len(alone))


def recognise_folder(store: Store, root: PhotoRoot) -> list[str]:
    """Look at a folder that is to be scanned: if it is new to the store, does it hold the photos of another dataset?

    If it holds all photos of one dataset whose folder is gone, it becomes that dataset's folder; if it holds most of
    them, or those of several such datasets, nothing is changed. Returns sentences that say so; none for a bucket.
    """
    if isinstance(root, Bucket):
        return []
    folder = root.resolve()
    if any(resolve_root(dataset.root) == folder for dataset in store.datasets()):
        return []
    matches = [(dataset, match_folder(store.files(dataset), folder)) for dataset in find_missing_folders(store)]
    likely = [(dataset, match) for dataset, match in matches if match.is_likely]
    if len(likely) == 1 and likely[0][1].is_complete:
        dataset, match = likely[0]
        was_damaged = dataset.id in store.damaged_datasets()
        with lock(store.path):
            moved = _move(store, dataset, folder, match)
        if was_damaged:
            return [
                f"The record of the dataset {moved.name!r} was damaged and is written again: all of its files are here."
            ]
        return [
            f"The photos of the dataset {moved.name!r} have moved: {dataset.root} is gone, and all of its "
            f"{match.known} files are here, with their sizes, and their contents where compared: this is its folder."
        ]
    return [
        f"{match.found} of the {match.known} files of the dataset {dataset.name!r}, whose folder is gone, are here: "
        f"{describe_move(dataset, folder)}"
        for dataset, match in likely
    ]


def accept_new_times(store: Store, dataset: Dataset, stored_files: pd.DataFrame, records: pd.DataFrame) -> int:
    """Note the new times of files that a new scan of the folder finds with another time and the same content, as
    copying them does; nothing is decoded. Returns their number.

    `stored_files` are the store's rows of the files in `records`, or of all.
    """
    if isinstance(dataset.root, Bucket):  # an ETag changes with the content
        return 0
    touched = find_touched(stored_files, dataset.root, records)
    if len(touched):
        _append(store, dataset, touched)
    return len(touched)


def describe_shared(store: Store, dataset: Dataset) -> list[str]:
    """Sentences that say how many photos of this dataset are in other datasets too; none if there are none."""
    others = [other for other in store.datasets() if other.id != dataset.id]
    images = find_images_by_dataset(store) if others else {}
    sentences = []
    for other in others:
        shared = images[dataset.name] & images[other.name]
        if not shared:
            continue
        sentence = (
            f"{len(shared)} of the {len(images[dataset.name])} photos of {dataset.name!r} are in the dataset "
            f"{other.name!r} too, and figures count each of them once"
        )
        gone = f"; its folder is gone: {describe_move(other, str(dataset.root))[:-1]}" if is_gone(other.root) else ""
        sentences.append(f"{sentence}{gone}.")
    return sentences


def describe_move(dataset: Dataset, folder: Path | str) -> str:
    """How to say that a dataset's photos are in this folder now."""
    command = shlex.join(["python", "-m", "seglib", "dataset", "move", str(dataset.root), str(folder)])
    return f"if they have moved, {command} makes this their folder."


def _move(store: Store, dataset: Dataset, folder: Path, match: FolderMatch) -> Dataset:
    """Write the dataset's new folder, and the new times of its files. The caller holds the store lock."""
    if len(match.touched):
        _append(store, dataset, match.touched)
        _rewrite_parts(store, store.files_folder(dataset), FILES_SCHEMA, keep_newest_files)
    if dataset.id in store.damaged_datasets():
        dataset = replace(dataset, name=folder.name)
    return store.write_dataset(replace(dataset, root=folder))


def _merge(store: Store, merged: Dataset, dataset: Dataset) -> None:
    """Make all files and invocations of `merged` those of `dataset`, and remove it."""
    _append(store, dataset, _known_files(store, merged))
    for run in store.runs():
        if any(invocation.get("dataset") == merged.id for invocation in run.invocations):
            for invocation in run.invocations:
                if invocation.get("dataset") == merged.id:
                    invocation["dataset"] = dataset.id
            store.write_run(run)
    rewriting.rename_dataset(store, merged.id, dataset.id)
    store.atomic.discard(store.dataset_record(merged.id).parent)


def _append(store: Store, dataset: Dataset, rows: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(rows.assign(scan=time.time_ns()), FILES_SCHEMA, preserve_index=False)
    parquet_parts.append(store.atomic, store.files_folder(dataset), table)


def _known_files(store: Store, dataset: Dataset) -> pd.DataFrame:
    files = store.files(dataset)
    return files[files["reason"] != VANISHED]


def _images_elsewhere(images: dict[str, set[str]], name: str) -> set[str]:
    return set().union(*(ids for other, ids in images.items() if other != name))


def _refuse_writers(store: Store, dataset: Dataset) -> None:
    if store.atomic.has_other_writers():
        raise StoreError(f"A process is writing to this store: change the dataset {dataset.name!r} when that is done.")


def _mismatch(dataset: Dataset, folder: Path, match: FolderMatch) -> str:
    other = f", and {match.different} have the same size and another content" if match.different else ""
    return (
        f"Only {match.found} of the {match.known} files of the dataset {dataset.name!r} are in {str(folder)!r} with "
        f"their paths and sizes{other}: name the folder that corresponds to {str(dataset.root)!r}, or run a model over "
        "it if these are other photos."
    )
