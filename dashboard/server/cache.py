"""Size-limited LRU caches of bytes: one in memory, one on disk in the store.

The disk cache is `<store>/cache/`. It may be deleted at any time, since everything in it can be recomputed; on a
read-only store nothing is cached. Safe for threads and for several servers.
"""

import contextlib
import os
import secrets
from collections import OrderedDict
from pathlib import Path
from threading import Lock

FOLDER = "cache"
DISK_BYTES = 512 * 1024 * 1024
_ROOM_AFTER_CLEANING = 0.9


class ByteCache:
    """LRU cache in memory; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._bodies: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, ...]) -> bytes | None:
        with self._lock:
            if (body := self._bodies.get(key)) is not None:
                self._bodies.move_to_end(key)
            return body

    def put(self, key: tuple[str, ...], body: bytes) -> None:
        with self._lock:
            self._held += len(body) - len(self._bodies.pop(key, b""))
            self._bodies[key] = body
            while self._held > self._limit:
                self._held -= len(self._bodies.popitem(last=False)[1])


class DiskCache:
    """LRU cache of files `<folder>/<name>`; a name is a relative path with `/`, `limit` is in bytes."""

    def __init__(self, folder: Path, limit: int = DISK_BYTES) -> None:
        self._folder, self._limit = folder, limit
        self._held: int | None = None  # unknown until counted; recounted when full, as other servers may add files
        self._lock = Lock()

    def get(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            body = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):  # deleted in the meantime, or not writable
            os.utime(path)
        return body

    def put(self, name: str, body: bytes) -> None:
        """Store the bytes atomically; write errors are ignored."""
        path = self._folder / name
        temporary = path.with_name(f".{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(body)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        with self._lock:
            self._held = self._counted() if self._held is None else self._held + len(body)
            if self._held > self._limit:
                self._clean()

    def _counted(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _clean(self) -> None:
        """Remove the least recently used files, including leftovers of killed servers."""
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        for _, size, path in files:
            if held <= self._limit * _ROOM_AFTER_CLEANING:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            held -= size
        self._held = held

    def _files(self) -> list[tuple[int, int, Path]]:
        """Return (time of last use, bytes, path) of each file."""
        found = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    found.append((status.st_mtime_ns, status.st_size, path))
        return found
