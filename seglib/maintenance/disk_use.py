"""How much disk a run takes, estimated from a sample of its masks where there are many.

Masks lie in subfolders by the first digits of a hash, so that any of these subfolders is a random sample of them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from seglib.store.store import Store

MAX_MEASURED_MASKS = 2000
"""Once this many masks are measured, the others are taken to be as large on average."""


@dataclass(frozen=True)
class DiskUse:
    bytes: int
    """Sum of the sizes of all files."""
    exact: bool
    """False if it is an estimate."""


def measure_run(store: Store, run: str, *, max_masks: int = MAX_MEASURED_MASKS) -> DiskUse:
    """Disk use of a run; reads the sizes of at most `max_masks` masks and those of one more subfolder."""
    masks = store.masks(run).folder
    shards = sorted(_folders(masks))
    rest = sum(_measure(path)[1] for path in _folders(store.run_folder(run)) if path != masks)
    rest += _own_files(store.run_folder(run))[1] + _own_files(masks)[1]
    number = size = measured = 0
    for shard in shards:
        if number >= max_masks:
            break
        files, in_bytes = _measure(shard)
        number, size, measured = number + files, size + in_bytes, measured + 1
    exact = measured == len(shards)
    return DiskUse(rest + (size if exact else round(size * len(shards) / measured)), exact)


def _measure(folder: Path) -> tuple[int, int]:
    """Number and bytes of the files in a folder and its subfolders, links left out."""
    number, size = _own_files(folder)
    for inner in _folders(folder):
        more, in_bytes = _measure(inner)
        number, size = number + more, size + in_bytes
    return number, size


def _own_files(folder: Path) -> tuple[int, int]:
    number = size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    number, size = number + 1, size + entry.stat(follow_symlinks=False).st_size
    except OSError:  # it was deleted, or a file in it was
        pass
    return number, size


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
