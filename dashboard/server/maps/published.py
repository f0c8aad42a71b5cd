"""What the pages have published for the routes of maps: bytes under their digest, and descriptions of points.

A page publishes again whenever it is drawn, so that what was dropped here comes back when the page is used.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import Any, Protocol

from dashboard.server.cache import ByteCache
from dashboard.server.media_urls import PREFIX
from dashboard.settings import with_base_path

MAX_BYTES = 96 * 1024 * 1024
MAX_TABLES = 4
"""Most recent descriptions that are kept; each holds columns of a run's table."""

MAP_PREFIX = f"{PREFIX}/map"


class PointTable(Protocol):
    """What a map says of its points."""

    def __len__(self) -> int: ...

    def describe(self, number: int) -> dict[str, Any]:
        """Return JSON values on the point of this number: id, name, value, photo, aspect."""

    def csv(self) -> Iterator[bytes]:
        """Return the rows of all points as CSV, in pieces."""


_bodies = ByteCache(MAX_BYTES)
_tables: OrderedDict[str, PointTable] = OrderedDict()
_lock = Lock()


def publish_bytes(body: bytes) -> str:
    """Return the URL under which the routes serve these bytes."""
    key = compute_key(body)
    _bodies.put((key,), body)
    return with_base_path(f"{MAP_PREFIX}/{key}.bin")


def publish_table(key: str, table: PointTable) -> str:
    """Return the URL, without an ending, under which the routes describe these points. `key`: see `compute_key`."""
    with _lock:
        _tables[key] = table
        _tables.move_to_end(key)
        while len(_tables) > MAX_TABLES:
            _tables.popitem(last=False)
    return with_base_path(f"{MAP_PREFIX}/{key}")


def find_bytes(key: str) -> bytes | None:
    return _bodies.get((key,))


def find_table(key: str) -> PointTable | None:
    with _lock:
        return _tables.get(key)


def compute_key(*parts: bytes | str) -> str:
    """Return 32 hex digits that identify these parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:32]
