"""List the photos below an address: from the object storage itself, or from a Parquet inventory of it.

Both give Arrow batches of `LISTING_SCHEMA`, so that a million keys are never Python objects at the same time.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seglib.data.buckets.address import Bucket
from seglib.data.buckets.client import connect, translated_errors
from seglib.errors import DatasetError

LISTING_SCHEMA = pa.schema(
    [("path", pa.large_string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64()), ("etag", pa.large_string())]
)
"""path: the key below the prefix. etag: as the service gives it, with its quotes."""

_KEYS_PER_BATCH = 50_000

_COLUMNS = {
    "key": ("key", "object_key", "name", "path"),
    "size": ("size", "object_size", "bytes"),
    "etag": ("e_tag", "etag"),
    "modified": ("last_modified", "last_modified_date", "updated"),
    "latest": ("is_latest",),
    "deleted": ("is_delete_marker",),
}
"""What a listing needs -> names that the inventories of S3, of S3 Metadata and of others give it, in lower case."""

_NAMES = [_COLUMNS[kind][0] for kind in ("key", "size", "etag", "modified")]


def list_objects(bucket: Bucket) -> Iterator[pa.RecordBatch]:
    """One request for each 1,000 keys; the keys in any order. Raises `DatasetError`."""
    import obstore

    store = connect(bucket)
    with translated_errors(bucket):
        for listed in obstore.list(store, chunk_size=_KEYS_PER_BATCH, return_arrow=True):
            batch = pa.record_batch(listed)
            modified = batch["last_modified"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
            columns = [batch["path"], batch["size"].cast(pa.int64()), modified, batch["e_tag"]]
            yield pa.record_batch(
                [column.cast(f.type) for column, f in zip(columns, LISTING_SCHEMA, strict=True)], LISTING_SCHEMA
            )


def read_listing(file: Path, bucket: Bucket) -> Iterator[pa.RecordBatch]:
    """The objects below the address that an inventory names. Raises `DatasetError` if it does not fit the address."""
    try:
        parquet = pq.ParquetFile(file)
    except (OSError, pa.ArrowException):
        raise DatasetError(f"The listing {file.name!r} is not a Parquet file that can be read.") from None
    with parquet:
        names = {name.lower(): name for name in parquet.schema_arrow.names}
        found = {kind: next((names[n] for n in known if n in names), None) for kind, known in _COLUMNS.items()}
        if missing := [kind for kind in ("key", "size", "etag") if found[kind] is None]:
            expected, present = (", ".join(names[:20]) for names in (_NAMES, parquet.schema_arrow.names))
            raise DatasetError(
                f"The listing {file.name!r} has no column for {' and '.join(missing)}: expected {expected}, and it has "
                f"{present}."
            )
        _check_bucket(file, bucket, parquet, names.get("bucket"))
        total = below = 0
        for rows in parquet.iter_batches(_KEYS_PER_BATCH, columns=[name for name in found.values() if name]):
            batch = _drop_old_versions(file, rows, found)
            selected = _select(file, bucket, batch, found)
            total, below = total + len(batch), below + len(selected)
            yield selected
        if total and not below:
            raise DatasetError(f"None of the {total:,} keys in the listing {file.name!r} is below {bucket}.")


def _check_bucket(file: Path, bucket: Bucket, parquet: pq.ParquetFile, column: str | None) -> None:
    """Inventories name the bucket in each row; one of another bucket would name objects that are not there."""
    if column is None:
        return
    for batch in parquet.iter_batches(_KEYS_PER_BATCH, columns=[column]):
        others = pc.unique(batch[column]).drop_null().to_pylist()
        if other := next((name for name in others if name != bucket.bucket), None):
            raise DatasetError(f"The listing {file.name!r} is one of the bucket {other!r}, not of {bucket.bucket!r}.")


def _drop_old_versions(file: Path, batch: pa.RecordBatch, found: dict[str, str | None]) -> pa.RecordBatch:
    """The rows of objects as they are now: an inventory of a bucket with versions may have the older ones too."""
    for kind, kept in (("latest", True), ("deleted", False)):
        if name := found[kind]:
            if not pa.types.is_boolean(batch.schema.field(name).type):
                raise DatasetError(f"The listing {file.name!r} has a column {name} that is not true or false.")
            batch = batch.filter(pc.equal(batch[name].fill_null(kept), kept))
    return batch


def _select(file: Path, bucket: Bucket, batch: pa.RecordBatch, found: dict[str, str | None]) -> pa.RecordBatch:
    """The rows below the prefix, as `LISTING_SCHEMA`."""
    try:
        keys = batch[found["key"]].cast(pa.large_string())
        sizes = batch[found["size"]].cast(pa.int64())
        etags = batch[found["etag"]].cast(pa.large_string())
    except pa.ArrowException:
        raise DatasetError(
            f"The listing {file.name!r} has columns of other types: expected texts as key and etag, and "
            "whole numbers as size."
        ) from None
    if keys.null_count or sizes.null_count or etags.null_count:
        raise DatasetError(f"The listing {file.name!r} lacks the key, the size or the etag of some objects.")
    modified = pa.array([0] * len(batch), pa.int64())
    if (name := found["modified"]) and pa.types.is_timestamp(batch.schema.field(name).type):
        modified = batch[name].cast(pa.timestamp("ns", batch.schema.field(name).type.tz)).cast(pa.int64()).fill_null(0)
    quotes, nothing = (pa.scalar(text, pa.large_string()) for text in ('"', ""))
    quoted = pc.binary_join_element_wise(quotes, pc.utf8_trim(etags, '"'), quotes, nothing)
    start = f"{bucket.prefix}/" if bucket.prefix else ""
    rows = pa.record_batch([pc.utf8_slice_codeunits(keys, len(start)), sizes, modified, quoted], LISTING_SCHEMA)
    return rows.filter(pc.and_(pc.starts_with(keys, start), pc.invert(pc.ends_with(keys, "/"))))
