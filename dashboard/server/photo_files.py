"""Find the photo file behind an image_id, if it has not changed since its scan.

`find` returns an `Original`: a path inside its dataset's folder, or one sentence why there is none. Clients never name
a path; the store's file index decides which files may be opened. A file that is missing, whose size or mtime changed,
or that is a link out of its dataset's folder is not opened; pages then show its thumbnail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from seglib.fileio import parquet_parts
from seglib.store.store import Store

CHANGED = "The file has changed since its scan"
GONE = "The file is no longer where it was scanned"
OUTSIDE = "The file is a link that leaves its data set's folder"
UNKNOWN = "The newest scan holds no file with this content"


@dataclass(frozen=True)
class Original:
    path: Path | None
    reason: str = ""
    """Why there is no path, without a full stop."""
    version: str = ""
    """Changes with the file."""


Place = tuple[Path, str, int, int]
"""Root of the dataset, path below it, bytes and mtime_ns at the scan."""


def find(store: Store, image_id: str) -> Original:
    """Return the first file with this content that has not changed since its scan, or the reason why there is none."""
    found = Original(None, UNKNOWN)
    for root, path, size, mtime_ns in _places(str(store.path), _state(store), image_id):
        found = _checked(root, path, size, mtime_ns)
        if found.path is not None:
            return found
    return found


def _checked(root: Path, path: str, size: int, mtime_ns: int) -> Original:
    try:
        whole = (root / path).resolve(strict=True)
        status = whole.stat()
    except (OSError, RuntimeError, ValueError):
        return Original(None, GONE)
    if not whole.is_relative_to(root.resolve()):
        return Original(None, OUTSIDE)
    if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
        return Original(None, CHANGED)
    return Original(whole, version=f"{mtime_ns:x}{size:x}"[-24:])


@lru_cache(maxsize=4096)
def _places(store: str, _state: Sequence[str], image_id: str) -> tuple[Place, ...]:
    opened = Store(store)
    roots = {dataset.name: dataset.root for dataset in opened.datasets()}
    rows = opened.places([image_id])[["dataset", "path", "bytes", "mtime_ns"]].itertuples(index=False, name=None)
    return tuple((roots[dataset], path, int(size), int(mtime_ns)) for dataset, path, size, mtime_ns in rows)


def _state(store: Store) -> tuple[str, ...]:
    """Return a cache key that changes with the file index and with the names and roots of the datasets."""
    found = []
    for dataset in store.datasets():
        found += [dataset.id, dataset.name, str(dataset.root), *parquet_parts.names(store.files_folder(dataset))]
    return tuple(found)
