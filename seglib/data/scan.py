"""Scan a folder of photos: which files are there, and what do their folders say about them?

In: a folder. Out: a frame with one row per photo (`RECORD_COLUMNS`), sorted by path; no file is opened.
Knows nothing of pictures, nets or stores, save how to recognise a store's folder so as not to scan it.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from seglib.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
STORE_MARKER = "store.json"
"""A folder that holds this file is a store: its masks and thumbnails are not photos of the data set."""

RECORD_COLUMNS = ("path", "bytes", "mtime_ns", "split", "label")

_MOST_ENTRIES = 500_000  # that are looked at for a list of folders

_SPLITS = {
    **dict.fromkeys(("train", "training", "train_set", "training_set", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val_set", "validation_set"), "val"),
    **dict.fromkeys(("test", "testing", "test_set", "testset"), "test"),
}


def scan(root: Path, *, follow_links: bool = False) -> pd.DataFrame:
    """List the photos below `root`.

    Columns: `path` relative to root with `/`; `bytes` int64; `mtime_ns` int64; `split` train, val, test or None, from
    the nearest folder above; `label` the parent folder's name or None (see `_label`). Hidden files and folders and
    stores are skipped; a symbolic link that leaves `root` is skipped unless `follow_links`.
    """
    if not root.is_dir():
        raise DatasetError(f"{str(root)!r} is not a folder: name the folder that holds the photos.")
    root = root.resolve()
    files = sorted(_walk(root, root, follow_links, frozenset({root})))
    if not files:
        kinds = " ".join(sorted(SUFFIXES))
        raise DatasetError(f"No photos below {root.name!r}: expected at least one file ending in {kinds}.")
    root_label = root.name if _is_class_folder(root) else None
    rows = [
        (path, size, mtime_ns, _split(PurePosixPath(path), root.name), _label(PurePosixPath(path), root_label))
        for path, size, mtime_ns in files
    ]
    return pd.DataFrame(rows, columns=list(RECORD_COLUMNS)).astype({"bytes": "int64", "mtime_ns": "int64"})


def folders(root: Path, *, depth: int = 2, most: int = 200) -> list[str]:
    """Folders that hold photos, at any level below them: `root` itself as "", and those down to `depth` levels below.

    Relative to `root` with `/`, sorted, at most `most`. What `scan` skips is skipped, and links to folders too.
    """
    found = []
    seen = itertools.count()

    def look(folder: Path, level: int) -> bool:
        inside, holds = [], False
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name == STORE_MARKER or next(seen) > _MOST_ENTRIES:
                        return False
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        inside.append(Path(entry.path))
                    elif not holds:
                        holds = Path(entry.name).suffix.lower() in SUFFIXES
        except OSError:  # it may not be listed: nothing that could be offered
            return False
        for path in sorted(inside):
            if level < depth or not holds:
                holds |= look(path, level + 1)
        if holds and level <= depth:
            found.append("" if folder == root else _relative(folder, root))
        return holds

    look(root, 0)
    return sorted(found)[:most]


def choose(records: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """The records that a list names, in the records' order: by relative path, or by stem where that is unambiguous."""
    by_stem: dict[str, list[str]] = {}
    for path in records["path"]:
        by_stem.setdefault(PurePosixPath(path).stem, []).append(path)
    paths = set(records["path"])
    chosen: set[str] = set()
    for name in filter(None, (name.strip() for name in names)):
        matches = [name] if name in paths else by_stem.get(name, [])
        if len(matches) != 1:
            found = "is not in the data set" if not matches else f"fits {len(matches)} photos, e.g. {matches[0]!r}"
            raise DatasetError(f"The list's entry {name!r} {found}: name each photo by its relative path.")
        chosen.add(matches[0])
    if not chosen:
        raise DatasetError("The list names no photo: it needs one relative path per line.")
    return records[records["path"].isin(chosen)].reset_index(drop=True)


def _walk(folder: Path, root: Path, follow_links: bool, above: frozenset[Path]) -> Iterator[tuple[str, int, int]]:
    """(relative path, bytes, mtime_ns) of each photo; `above` holds the resolved folders on the way down."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        if folder == root:
            raise DatasetError(f"The folder {root.name!r} cannot be read ({error.strerror}).") from None
        yield f"{_relative(folder, root)}/", 0, 0  # becomes a failure with a reason: nothing is lost in silence
        return
    if any(entry.name == STORE_MARKER for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or not _may_follow(entry, root, follow_links):
            continue
        if entry.is_dir():
            inside = Path(entry.path).resolve()
            if inside not in above:  # a link to a folder above would never end
                yield from _walk(Path(entry.path), root, follow_links, above | {inside})
        elif entry.is_file() and Path(entry.name).suffix.lower() in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                status = entry.stat()
                yield _relative(Path(entry.path), root), status.st_size, status.st_mtime_ns


def _may_follow(entry: os.DirEntry[str], root: Path, follow_links: bool) -> bool:
    """False for a link that leaves the root (unless they are followed), to nothing, or to itself."""
    if not entry.is_symlink():
        return True
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return follow_links or target.is_relative_to(root)


def _relative(path: Path, root: Path) -> str:
    """With `/`, as text that can be stored: bytes that are no UTF-8 are spelled out, and the file fails to open."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _split(path: PurePosixPath, root_name: str) -> str | None:
    for folder in (*reversed(path.parent.parts), root_name):
        if (split := _SPLITS.get(folder.lower())) is not None:
            return split
    return None


def _label(path: PurePosixPath, root_label: str | None) -> str | None:
    """The parent folder's name; for a file directly in the root `root_label`; a folder like `train` is no label."""
    label = path.parent.name if path.parent.name else root_label
    return None if label is None or label.lower() in _SPLITS else label


def _is_class_folder(root: Path) -> bool:
    """True if a sibling of `root` holds photos too, as `dogs/` does beside `cats/`."""
    try:
        siblings = [p for p in root.parent.iterdir() if p != root and not p.name.startswith(".") and p.is_dir()]
        return any(_holds_photo(sibling) for sibling in siblings)
    except OSError:
        return False


def _holds_photo(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(e.name).suffix.lower() in SUFFIXES and not e.name.startswith(".") for e in entries)
