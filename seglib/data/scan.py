"""Scan a folder for images and derive split and label from folder names.

`scan_folder` returns a data frame with one row per image (`RECORD_COLUMNS`), sorted by path, and counts of what it left
out; `scan` returns the data frame alone. No file is opened. Folders that contain a store are skipped.
"""

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from seglib.data import labels
from seglib.data.formats import HEIF_SUFFIXES, has_heif
from seglib.data.left_out import LeftOut, LeftOutCounter
from seglib.errors import DatasetError, UsageError, shorten

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
    | (HEIF_SUFFIXES if has_heif() else frozenset())
)
STORE_MARKER = "store.json"
"""A folder with this file is a store; its masks and thumbnails are not part of the dataset."""

RECORD_COLUMNS = ("path", "bytes", "mtime_ns", "etag", "split", "label")

Record = dict[str, Any]
"""One row of the scan, plus `image_id`: the known id, or None."""

_WALK_SCHEMA = pa.schema([("path", pa.large_string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64())])
_FILES_PER_BATCH = 100_000
_MAX_ENTRIES = 500_000  # maximum number of directory entries that `find_image_folders` visits
_MAX_NESTED_LINKS = 3  # folders that link to each other would be walked in every order


@dataclass(frozen=True)
class FolderScan:
    records: pd.DataFrame
    """One row per image; see `scan`."""
    left_out: LeftOut


def scan(root: Path, *, follow_links: bool = False) -> pd.DataFrame:
    """List the images below `root`. Raises `DatasetError` if it is not a readable folder or has no images.

    Columns: `path` relative to root with `/`; `bytes` int64; `mtime_ns` int64; `etag`, which only objects in a bucket
    have; `split` train, val, test or None, from the nearest ancestor folder; `label` the parent folder's name or None
    (see `labels`). Skips hidden files and folders, stores, and (unless `follow_links`) symbolic links that point
    outside `root`.
    """
    return scan_folder(root, follow_links=follow_links).records


def scan_folder(root: Path, *, follow_links: bool = False) -> FolderScan:
    """Do what `scan` does, and count the files and links that it skips, except hidden ones and those in stores."""
    if not root.is_dir():
        raise DatasetError(f"{str(root)!r} is not a folder: name the folder that holds the photos.")
    root = root.resolve()
    walk = _Walk(root, follow_links)
    records = to_records(_collect(walk.list_images(root, frozenset({root}), 0)), root.name, _sibling_folders(root))
    left_out = walk.left_out.counts()
    if records.empty:
        raise no_photos_error(root.name, left_out)
    return FolderScan(records, left_out)


def no_photos_error(name: str, left_out: LeftOut) -> DatasetError:
    kinds = " ".join(sorted(IMAGE_SUFFIXES))
    expected = f"No photos below {name!r}: expected at least one file ending in {kinds}."
    return DatasetError(" ".join((expected, *left_out.describe())))


def to_records(files: pa.Table, root_name: str, root_siblings: Collection[str]) -> pd.DataFrame:
    """The records of a scan (`RECORD_COLUMNS`) of files, given by path, bytes, mtime_ns and etag in any order.

    Of millions of files, no more than one column is in memory twice, if the caller keeps no reference to `files`.
    """
    order = pc.sort_indices(files["path"])
    columns = {}
    for name in files.column_names:
        columns[name] = files[name].take(order)
        files = files.drop_columns(name)
    columns["split"], columns["label"] = labels.splits_and_labels(columns["path"], root_name, root_siblings)
    in_order = pa.table({name: columns.pop(name) for name in RECORD_COLUMNS})
    records: pd.DataFrame = in_order.to_pandas(split_blocks=True, self_destruct=True)
    pa.default_memory_pool().release_unused()  # half a gigabyte after ten million files
    return records


def _collect(files: Iterator[tuple[str, int, int]]) -> pa.Table:
    """The files of a walk as a table; few of them are Python objects at a time."""
    batches = []
    while some := list(itertools.islice(files, _FILES_PER_BATCH)):
        columns = zip(*some, strict=True)
        batches.append(
            pa.record_batch([pa.array(v, f.type) for v, f in zip(columns, _WALK_SCHEMA, strict=True)], _WALK_SCHEMA)
        )
    collected = pa.Table.from_batches(batches, _WALK_SCHEMA)
    return collected.append_column("etag", pa.nulls(len(collected), pa.string()))


def find_image_folders(root: Path, *, depth: int = 2, limit: int = 200) -> list[str]:
    """List the folders that contain images at any depth: `root` itself as "" and folders up to `depth` levels below.

    Paths are relative to `root` with `/`, sorted, at most `limit`. Skips what `scan` skips, and links to folders.
    """
    folders = []
    entry_numbers = itertools.count()

    def look(folder: Path, level: int) -> bool:
        subfolders, has_images = [], False
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name == STORE_MARKER or next(entry_numbers) > _MAX_ENTRIES:
                        return False
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        subfolders.append(Path(entry.path))
                    elif not has_images:
                        has_images = has_image_suffix(entry.name)
        except OSError:  # no permission to list it, so do not offer it
            return False
        for path in sorted(subfolders):
            if level < depth or not has_images:
                has_images |= look(path, level + 1)
        if has_images and level <= depth:
            folders.append("" if folder == root else _relative(folder, root))
        return has_images

    look(root, 0)
    return sorted(folders)[:limit]


def describe_mask_folders(records: pd.DataFrame) -> list[str]:
    """A sentence if the folder is laid out as a data set for training, whose masks are among the images found."""
    folders = {path.partition("/")[0] for path in records["path"] if "/" in path}
    for photos, masks in (("JPEGImages", "SegmentationClass"), ("images", "annotations"), ("images", "masks")):
        if {photos, masks} <= folders:
            return [
                f"{masks!r} beside {photos!r} holds masks, it seems, and they are taken as photos too: name the folder "
                f"{photos!r} instead, and remove this dataset with `seglib dataset forget`."
            ]
    return []


def select_by_name(records: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Select the records named by relative path, or by stem if unambiguous, in the order of `records`.

    Raises `DatasetError` for unknown or ambiguous names and for an empty list.
    """
    by_stem: dict[str, list[str]] = {}
    for path in records["path"]:
        by_stem.setdefault(PurePosixPath(path).stem, []).append(path)
    paths = set(records["path"])
    chosen: set[str] = set()
    for name in filter(None, (name.strip() for name in names)):
        matches = [name] if name in paths else by_stem.get(name, [])
        if len(matches) != 1:
            problem = "is not in the dataset" if not matches else f"fits {len(matches)} photos, e.g. {matches[0]!r}"
            raise DatasetError(f"The list's entry {name!r} {problem}: name each photo by its relative path.")
        chosen.add(matches[0])
    if not chosen:
        raise DatasetError("The list names no photo: it needs one relative path per line.")
    return records[records["path"].isin(chosen)].reset_index(drop=True)


class Part(NamedTuple):
    """One of some parts into which the photos of a folder are divided, so that several processes share the work.

    The part of a photo depends on nothing but its path.
    """

    number: int
    """1 to `parts`."""
    parts: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """The part that "2/8" names. Raises `UsageError`."""
        if re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text) is not None:
            number, _, parts = text.partition("/")
            if 1 <= int(number) <= int(parts):
                return cls(int(number), int(parts))
        raise UsageError(f"A part is the I-th of N, with I from 1 to N, such as 2/8, not {shorten(text)!r}.")

    @classmethod
    def check(cls, value: object) -> "Part":
        """The part (number, parts). Raises `UsageError`."""
        if isinstance(value, tuple) and [type(one) for one in value] == [int, int] and 1 <= value[0] <= value[1]:
            return cls(*value)
        raise UsageError(f"A part is (I, N), the I-th of N with I from 1 to N, such as (2, 8), not {value!r}.")

    def holds(self, path: str) -> bool:
        """Whether the photo with this path, relative and with `/`, is in this part: by its SHA-256 modulo `parts`."""
        digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest, "big") % self.parts == self.number - 1

    def select(self, records: pd.DataFrame) -> pd.DataFrame:
        """The records of this part, in their order."""
        return records[records["path"].map(self.holds).astype(bool)].reset_index(drop=True)


class _Walk:
    """One walk through a folder; counts what it leaves out."""

    def __init__(self, root: Path, follow_links: bool) -> None:
        self._root, self._follow_links = root, follow_links
        self.left_out = LeftOutCounter()

    def list_images(self, folder: Path, ancestors: frozenset[Path], links: int) -> Iterator[tuple[str, int, int]]:
        """Yield (relative path, bytes, mtime_ns) of each image.

        `ancestors` holds the resolved folders above, `links` is the number of links among them.
        """
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if folder == self._root:
                raise DatasetError(f"The folder {self._root.name!r} cannot be read ({error.strerror}).") from None
            yield f"{_relative(folder, self._root)}/", 0, 0  # recorded as a failure with a reason, not silently lost
            return
        if any(entry.name == STORE_MARKER for entry in entries):
            return
        for entry in entries:
            if entry.name.startswith(".") or not self._may_follow(entry):
                continue
            if entry.is_dir():
                inside = Path(entry.path).resolve()
                depth = links + entry.is_symlink()
                if inside in ancestors or depth > _MAX_NESTED_LINKS:  # would recurse forever, or almost
                    self.left_out.count_link("circular")
                else:
                    yield from self.list_images(Path(entry.path), ancestors | {inside}, depth)
            elif entry.is_file() and has_image_suffix(entry.name):
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    status = entry.stat()
                    yield _relative(Path(entry.path), self._root), status.st_size, status.st_mtime_ns
            elif entry.is_file():
                self.left_out.count_file(entry.name)

    def _may_follow(self, entry: os.DirEntry[str]) -> bool:
        """Return False for broken or circular links and, unless `follow_links`, for links that leave the root."""
        if not entry.is_symlink():
            return True
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):
            self.left_out.count_link("broken")
            return False
        if self._follow_links or target.is_relative_to(self._root):
            return True
        if target.is_dir() or has_image_suffix(entry.name):
            self.left_out.count_link("outside")
        else:
            self.left_out.count_file(entry.name)
        return False


def has_image_suffix(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _relative(path: Path, root: Path) -> str:
    """Return the path with `/` as valid UTF-8; invalid bytes are escaped, so opening such a file fails."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _sibling_folders(root: Path) -> list[str]:
    """Names of folders beside `root` that hold images too, like `dogs/` beside `cats/`: all of them if `root` is called
    `train`, else at most one.
    """
    found = []
    with contextlib.suppress(OSError):
        siblings = [p for p in root.parent.iterdir() if p != root and not p.name.startswith(".") and p.is_dir()]
        for sibling in siblings:
            if _has_image(sibling):
                found.append(sibling.name)
                if root.name.lower() != labels.VEHICLE:
                    break
    return found


def _has_image(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(has_image_suffix(e.name) and not e.name.startswith(".") for e in entries)
