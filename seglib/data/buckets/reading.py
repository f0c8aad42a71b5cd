"""Read photos from object storage, some ahead of those that are decoded."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from seglib.data.buckets.address import Bucket, is_valid_key
from seglib.data.buckets.client import connect, explain
from seglib.data.image import MAX_BYTES
from seglib.errors import BadImage, DatasetError

READS_AHEAD = 16
"""Photos that are being read or wait to be decoded: enough to hide 25 ms to the first byte."""

BYTES_AHEAD = 1 << 28
"""Most bytes of these photos together, unless one alone is larger."""

Tag = TypeVar("Tag")


def read_object(bucket: Bucket, path: str, size: int, etag: str | None) -> bytes:
    """The bytes of the object with this key below the prefix, as it was when it was listed.

    Raises `BadImage` if it is gone, has changed (`If-Match` with the `etag`) or cannot be had; `DatasetError` if the
    service cannot be reached, which is no photo's fault.
    """
    import obstore
    from obstore.exceptions import BaseError, GenericError

    if size > MAX_BYTES:
        raise BadImage("too_large", f"The file has {size:,} bytes, more than {MAX_BYTES:,}.")
    if not is_valid_key(path):
        raise BadImage("unreadable", "Its key has an empty part, . or .. or a control character: rename it.")
    try:
        found = obstore.get(connect(bucket), path, options={"if_match": etag} if etag else None)
        if etag and found.meta["size"] != size:  # an inventory may say anything
            raise BadImage("unreadable", f"It has {found.meta['size']:,} bytes, and {size:,} in the listing.")
        data = found.bytes().to_bytes()
    except GenericError as error:
        raise DatasetError(
            f"{bucket} cannot be read any more: {explain(error, bucket)}. What was computed is kept: the same command "
            "continues."
        ) from None
    except (BaseError, OSError, ValueError) as error:
        reason = explain(error, bucket)
        raise BadImage("unreadable", f"{reason[0].upper()}{reason[1:]}.") from None
    if not data:
        raise BadImage("empty", "The file has no bytes.")
    return data


def read_ahead(
    bucket: Bucket, photos: Iterable[tuple[Tag, str, int, str | None]]
) -> Iterator[tuple[Tag, bytes | BadImage]]:
    """Read photos, given by (tag, path, bytes, etag), in their order. Raises `DatasetError`."""
    pool = ThreadPoolExecutor(READS_AHEAD)
    waiting: deque[tuple[Tag, int, Future[bytes | BadImage]]] = deque()
    held = 0
    try:
        for tag, path, size, etag in photos:
            while waiting and (len(waiting) >= READS_AHEAD or held + size > BYTES_AHEAD):
                first, its_size, future = waiting.popleft()
                held -= its_size
                yield first, future.result()
            waiting.append((tag, size, pool.submit(_read, bucket, path, size, etag)))
            held += size
        while waiting:
            first, _, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read(bucket: Bucket, path: str, size: int, etag: str | None) -> bytes | BadImage:
    try:
        return read_object(bucket, path, size, etag)
    except BadImage as error:
        return error
