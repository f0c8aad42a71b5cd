"""Compare the files of a dataset with those in a folder: by relative path, size and, where needed, content.

`match_folder` returns a `FolderMatch`, which says whether the folder is where the dataset's files are now. A file with
its size and time of the newest scan counts as unchanged, as in a run; a sample of such files is read all the same.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.data.image import compute_image_id, read_bytes
from seglib.errors import BadImage
from seglib.fileio.parallel import map_in_threads
from seglib.store.schemas import VANISHED

SAMPLE = 64
"""Number of files, evenly spread, whose content is compared although size and time are those of the scan."""


@dataclass(frozen=True)
class FolderMatch:
    known: int
    """Files of the newest scan, unreadable ones included."""
    found: int
    """Those of them that are in the folder with the same path and size, and the same content where it was compared."""
    different: int
    """Files with the same path and size and another content."""
    touched: pd.DataFrame
    """Rows of the files whose content is the same and whose time is not, with the new `mtime_ns`."""

    @property
    def is_complete(self) -> bool:
        return self.found == self.known > 0

    @property
    def is_likely(self) -> bool:
        """Whether most files are in the folder."""
        return 2 * self.found > self.known


def match_folder(files: pd.DataFrame, folder: Path) -> FolderMatch:
    """Look for the files of a dataset (`Store.files`) in a folder; opens no more than `SAMPLE` of them at first.

    Where those speak for this folder, all files whose time has changed are read, so that no later run needs to.
    """
    is_file = (files["reason"] != VANISHED) & ~files["path"].str.endswith("/")  # not a folder that cannot be listed
    files = files[is_file].reset_index(drop=True)
    sizes, times = _stat_all(folder, files["path"])
    same_size = sizes == files["bytes"].to_numpy()
    touched = same_size & (times != files["mtime_ns"].to_numpy())
    to_read = same_size & files["image_id"].notna().to_numpy()
    sample = np.zeros(len(files), bool)
    positions = np.flatnonzero(to_read)
    sample[positions[np.unique(np.linspace(0, len(positions) - 1, min(SAMPLE, len(positions))).astype(np.intp))]] = True
    different = sample & ~_same_content(files, folder, sample)
    if 2 * different.sum() <= sample.sum():
        rest = to_read & touched & ~sample
        different |= rest & ~_same_content(files, folder, rest)
    same = touched & to_read & ~different
    return FolderMatch(
        known=len(files),
        found=int((same_size & ~different).sum()) if 2 * different.sum() <= sample.sum() else 0,
        different=int(different.sum()),
        touched=files[same].assign(mtime_ns=times[same]),
    )


def find_touched(files: pd.DataFrame, folder: Path, records: pd.DataFrame) -> pd.DataFrame:
    """Rows of the readable files whose size and content are those of `files` and whose time is not, with the new time.

    `records` is a new scan of the folder. Reads the files that have another time.
    """
    known = files[files["reason"].isna()]
    both = known.merge(records[["path", "bytes", "mtime_ns"]], on="path", suffixes=("", "_now"))
    both = both[(both["bytes"] == both["bytes_now"]) & (both["mtime_ns"] != both["mtime_ns_now"])]
    same = _same_content(both, folder, np.ones(len(both), bool))
    return both[same].assign(mtime_ns=both["mtime_ns_now"][same])[files.columns]


def _stat_all(folder: Path, paths: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(bytes, mtime_ns) of each regular file; -1 where there is none."""
    stamps = [_stat(folder, path) for path in paths]
    sizes, times = np.array(stamps, np.int64).reshape(-1, 2).T
    return sizes, times


def _stat(folder: Path, path: str) -> tuple[int, int]:
    try:
        status = os.stat(folder / path)
    except (OSError, ValueError):
        return -1, -1
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (-1, -1)


def _same_content(files: pd.DataFrame, folder: Path, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool per file: whether its content is that of the scan; False for files that are not `chosen`."""
    same = np.zeros(len(files), bool)
    if not chosen.any():
        return same
    pairs = list(zip(files["path"][chosen], files["image_id"][chosen], strict=True))
    same[chosen] = list(map_in_threads(lambda pair: has_content(folder / pair[0], pair[1]), pairs))
    return same


def has_content(path: Path, image_id: str) -> bool:
    """Whether the file can be read and has this content."""
    try:
        return compute_image_id(read_bytes(path)) == image_id
    except BadImage:
        return False
