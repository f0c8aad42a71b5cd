"""Find the photo file behind an image_id, if it has not changed since its scan.

`find` returns a `PhotoFile`: a path inside its dataset's folder, or one sentence why there is none. Clients never name
a path; the store's file index decides which files may be opened. A file that is missing, that has changed, or that is a
link out of its dataset's folder is not opened; pages then show its thumbnail.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dashboard.server.cache import ORIGINALS, disk_cache
from seglib.data.buckets.address import Bucket
from seglib.data.image import compute_image_id
from seglib.data.photo_root import PhotoRoot, name_photo, read_photo
from seglib.errors import BadImage, SegError
from seglib.fileio import parquet_parts
from seglib.maintenance.content_match import has_content
from seglib.store.store import Store

CHANGED = "The file has changed since its scan"
GONE = "The file is no longer where it was scanned"
OUTSIDE = "The file is a link that leaves its dataset's folder"
UNKNOWN = "The newest scan holds no file with this content"


@dataclass(frozen=True)
class PhotoFile:
    path: Path | None
    reason: str = ""
    """Why there is no path, without a full stop."""
    version: str = ""
    """Changes with the file."""


@dataclass(frozen=True)
class ScannedFile:
    """A file as it was at its scan."""

    root: PhotoRoot
    """Of its dataset."""
    path: str
    size: int
    mtime_ns: int
    image_id: str
    etag: str | None = None
    """Of an object in a bucket."""


def find(store: Store, image_id: str) -> PhotoFile:
    """Return the first file with this content that has not changed since its scan, or the reason why there is none."""
    photo_file = PhotoFile(None, UNKNOWN)
    for scanned in _scanned_files(str(store.path), _index_version(store), image_id):
        photo_file = check_file(scanned, store.path)
        if photo_file.path is not None:
            return photo_file
    return photo_file


def is_unchanged(path: Path, status: os.stat_result, size: int, mtime_ns: int, image_id: str) -> bool:
    """Return whether the file has the size of its scan, and its time or else its content: copying changes the time."""
    if status.st_size != size:
        return False
    return status.st_mtime_ns == mtime_ns or _has_content(path, status.st_size, status.st_mtime_ns, image_id)


@lru_cache(maxsize=16384)
def _has_content(path: Path, _size: int, _mtime_ns: int, image_id: str) -> bool:
    return has_content(path, image_id)


def check_file(scanned: ScannedFile, store: Path) -> PhotoFile:
    """Return the file if it is inside its dataset's folder and as it was at its scan, or the reason why not.

    An object in a bucket is read into the cache of the `store`.
    """
    root = scanned.root
    if isinstance(root, Bucket):
        return _fetch(root, scanned, store)
    try:
        whole = (root / scanned.path).resolve(strict=True)
        status = whole.stat()
    except (OSError, RuntimeError, ValueError):
        return PhotoFile(None, GONE)
    if not whole.is_relative_to(root.resolve()):
        return PhotoFile(None, OUTSIDE)
    if not is_unchanged(whole, status, scanned.size, scanned.mtime_ns, scanned.image_id):
        return PhotoFile(None, CHANGED)
    return PhotoFile(whole, version=f"{scanned.mtime_ns:x}{scanned.size:x}"[-24:])


def _fetch(bucket: Bucket, scanned: ScannedFile, store: Path) -> PhotoFile:
    """Return the object's copy in the cache, which is made first if its ETag still is that of the scan."""
    disk, image_id = disk_cache(store), scanned.image_id
    name = f"{ORIGINALS}/{image_id[:2]}/{image_id}"
    if not disk.touch(name):
        try:
            data = read_photo(bucket, scanned.path, scanned.size, scanned.etag)
        except (BadImage, SegError) as error:
            detail = error.detail if isinstance(error, BadImage) else str(error)
            return PhotoFile(None, f"{name_photo(bucket, scanned.path)} cannot be read: {detail.rstrip('.')}")
        if compute_image_id(data) != image_id:
            return PhotoFile(None, CHANGED)
        disk.put(name, data)
        if not disk.touch(name):
            return PhotoFile(None, f"The photo lies in {bucket}, and the store's cache cannot be written")
    return PhotoFile(disk.path(name), version=image_id[:24])


@lru_cache(maxsize=4096)
def _scanned_files(store: str, _version: Sequence[str], image_id: str) -> tuple[ScannedFile, ...]:
    opened = Store(store)
    roots = {dataset.name: dataset.root for dataset in opened.datasets()}
    columns = ["dataset", "path", "bytes", "mtime_ns", "etag"]
    rows = opened.locate_images([image_id])[columns].itertuples(index=False, name=None)
    return tuple(
        ScannedFile(roots[dataset], path, int(size), int(mtime_ns), image_id, etag)
        for dataset, path, size, mtime_ns, etag in rows
    )


def _index_version(store: Store) -> tuple[str, ...]:
    """Return a cache key that changes with the file index and with the names and roots of the datasets."""
    version = []
    for dataset in store.datasets():
        version += [dataset.id, dataset.name, str(dataset.root), *parquet_parts.list_parts(store.files_folder(dataset))]
    return tuple(version)
