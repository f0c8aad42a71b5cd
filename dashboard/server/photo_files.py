"""The photo behind an image_id: where its file lies, if it is still the one that was scanned.

In: a store, an image_id. Out: an `Original`: a path inside its data set's folder, or one sentence why there is none.
The store's file index decides what may be opened; a client names no path. A file whose size or time changed, that is
gone, or that is a link out of its data set's folder, is not opened: its thumbnail stands for it.
Knows nothing of pages or of how a photo is shown.
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
"""Root of the data set, path below it, bytes and mtime_ns at the scan."""


def find(store: Store, image_id: str) -> Original:
    """Of several files with this content, the first that is as it was scanned."""
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
    """Changes with the file index and with the data sets' names and roots."""
    found = []
    for dataset in store.datasets():
        found += [dataset.id, dataset.name, str(dataset.root), *parquet_parts.names(store.files_folder(dataset))]
    return tuple(found)
