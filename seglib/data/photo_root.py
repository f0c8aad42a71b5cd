"""Where the photos of a dataset are: a folder, or a prefix of a bucket on object storage.

A photo is named by its root and its path below it, with `/`. What both kinds of roots can do is here, so that nothing
else needs to tell them apart.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from seglib.data.buckets.address import Bucket, looks_like_address
from seglib.data.buckets.reading import read_ahead, read_object
from seglib.data.buckets.scan import scan_bucket
from seglib.data.decode_pool import Content
from seglib.data.image import Extras, read_bytes
from seglib.data.scan import FolderScan, Record, scan_folder
from seglib.errors import UsageError

PhotoRoot = Path | Bucket


def parse_root(root: str | os.PathLike[str] | Bucket) -> PhotoRoot:
    """The folder or the address. Raises `UsageError` for what is meant as an address and is none."""
    if isinstance(root, Bucket):
        return root
    text = os.fspath(root)
    return Bucket.parse(text) if looks_like_address(text) else Path(text)


def resolve_root(root: PhotoRoot) -> PhotoRoot:
    """The same root in the form that a store keeps: a folder without links in its path."""
    return root if isinstance(root, Bucket) else root.resolve()


def name_photo(root: PhotoRoot, path: str) -> str:
    """The whole path or address of a photo."""
    return f"{root.address}/{path}" if isinstance(root, Bucket) else str(root / path)


def scan_photos(root: PhotoRoot, *, follow_links: bool = False, listing: Path | None = None) -> FolderScan:
    """List the photos below a root: a folder as `scan_folder` does, a bucket by asking for its keys or by a `listing`,
    a Parquet inventory of it. Raises `DatasetError`, or `UsageError` for a listing of a folder.
    """
    if isinstance(root, Bucket):
        return scan_bucket(root, listing)
    if listing is not None:
        raise UsageError("A listing names the objects of a bucket: give an address such as s3://bucket/prefix with it.")
    return scan_folder(root, follow_links=follow_links)


def is_gone(root: PhotoRoot) -> bool:
    """Whether a folder does not exist. Nothing is asked of object storage, which may be out of reach for a while."""
    return not isinstance(root, Bucket) and not root.is_dir()


def leaves_root(root: PhotoRoot, path: str) -> bool:
    """Whether a photo's file is behind a link out of its folder."""
    if isinstance(root, Bucket):
        return False
    return "\0" in path or not (root / path).resolve().is_relative_to(root.resolve())


def is_photo_gone(root: PhotoRoot, path: str) -> bool:
    """Whether a photo that a scan does not list is gone: it may be behind a link that was not followed this time."""
    return isinstance(root, Bucket) or not (root / path).exists()


def may_read(root: PhotoRoot, path: str) -> bool:
    """Whether a photo that could not be read may be readable now; of an object, only asking for it tells."""
    return isinstance(root, Bucket) or os.access(root / path, os.R_OK)


def read_photo(root: PhotoRoot, path: str, size: int = 0, etag: str | None = None) -> bytes:
    """The bytes of a photo; of an object, if its size and ETag are given, those of its scan.

    Raises `BadImage`, or `DatasetError` if the service cannot be reached.
    """
    if isinstance(root, Bucket):
        return read_object(root, path, size, etag)
    return read_bytes(root / path)


def open_photos(root: PhotoRoot, photos: Iterable[tuple[Record, Extras]]) -> Iterator[tuple[Record, Content, Extras]]:
    """The tasks of a `DecodePool` for photos, given by their rows of the scan. Raises `DatasetError`."""
    if isinstance(root, Bucket):
        asked = (((row, extras), row["path"], row["bytes"], row["etag"]) for row, extras in photos)
        for (row, extras), content in read_ahead(root, asked):
            yield row, content, extras
    else:
        for row, extras in photos:
            yield row, root / row["path"], extras
