"""Scan a bucket for photos: the rows that a folder's scan has, with an ETag in place of a modification time."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from seglib.data.buckets.address import Bucket
from seglib.data.buckets.listing import LISTING_SCHEMA, list_objects, read_listing
from seglib.data.left_out import LeftOutCounter
from seglib.data.scan import IMAGE_SUFFIXES, STORE_MARKER, FolderScan, no_photos_error, to_records
from seglib.errors import DatasetError

_IS_HIDDEN = r"(^|/)\."
_IS_IMAGE = "(?i)(" + "|".join(suffix.replace(".", r"\.") for suffix in sorted(IMAGE_SUFFIXES)) + ")$"


def scan_bucket(bucket: Bucket, listing: Path | None = None) -> FolderScan:
    """List the photos below an address. Raises `DatasetError` if it cannot be listed or has none.

    Leaves out what a folder's scan does: hidden keys, stores, and other kinds of files, which it counts.
    """
    batches = list_objects(bucket) if listing is None else read_listing(listing, bucket)
    left_out, stores, chosen = LeftOutCounter(), [], []
    for batch in _without_hidden(batches):
        paths = batch["path"]
        stores += paths.filter(pc.match_substring_regex(paths, f"(^|/){STORE_MARKER}$")).to_pylist()
        is_image = pc.match_substring_regex(paths, _IS_IMAGE)
        for name in paths.filter(pc.and_(pc.invert(is_image), pc.greater(batch["bytes"], 0))).to_pylist():
            left_out.count_file(name)  # objects without bytes stand for folders
        chosen.append(batch.filter(is_image))
    table = pa.Table.from_batches(chosen, LISTING_SCHEMA)
    for marker in stores:
        table = table.filter(pc.invert(pc.starts_with(table["path"], marker.removesuffix(STORE_MARKER))))
    counts = left_out.counts()
    if listing is not None and (repeated := len(table) - len(pc.unique(table["path"]))):
        raise DatasetError(
            f"The listing {listing.name!r} names {repeated:,} photos more than once: list the current version of each."
        )
    if not len(table):
        raise no_photos_error(bucket.address, counts)
    return FolderScan(to_records(table, bucket.name, ()), counts)


def _without_hidden(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.filter(pc.invert(pc.match_substring_regex(batch["path"], _IS_HIDDEN)))
