"""Size-limited LRU caches of bytes: one in memory, one on disk in the store.

The disk cache is `<store>/cache/`: `photos/<ab>/<image_id>.jpg`, `uncertainty/<run>/<ab>/<image_id>.png` and,
of photos on object storage, `originals/<ab>/<image_id>`. It may be
deleted at any time, since everything in it can be recomputed; so can what `seglib.similarity.projection` and
`workers.similarity` keep there; on a read-only store nothing is cached. Safe for threads
and for several servers.

Names contain digests of the content, so a cached picture is never wrong, but its photo or run may be gone.
`remove_stale` removes such pictures: when the dashboard prunes the store or deletes a run, and once per server, in case
`seglib prune` did.
"""

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from threading import Lock, Thread

from seglib.errors import SegError
from seglib.fileio.atomic import replace_file
from seglib.store.store import Store

CACHE_FOLDER = "cache"
ORIGINALS = "originals"
_PICTURES = (ORIGINALS, "photos", "uncertainty")
"""Folders of the cache that hold pictures."""

MAX_DISK_BYTES = 512 * 1024 * 1024
_FILL_AFTER_CLEANING = 0.9


class ByteCache:
    """LRU cache in memory; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size_bytes = limit, 0
        self._bodies: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, ...]) -> bytes | None:
        with self._lock:
            if (body := self._bodies.get(key)) is not None:
                self._bodies.move_to_end(key)
            return body

    def put(self, key: tuple[str, ...], body: bytes) -> None:
        with self._lock:
            self._size_bytes += len(body) - len(self._bodies.pop(key, b""))
            self._bodies[key] = body
            while self._size_bytes > self._limit:
                self._size_bytes -= len(self._bodies.popitem(last=False)[1])


class DiskCache:
    """LRU cache of files `<folder>/<name>`; a name is a relative path with `/`, `limit` is in bytes."""

    def __init__(self, folder: Path, limit: int = MAX_DISK_BYTES) -> None:
        self._folder, self._limit = folder, limit
        self._size_bytes: int | None = (
            None  # unknown until counted; recounted when full, as other servers may add files
        )
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

    def path(self, name: str) -> Path:
        return self._folder / name

    def touch(self, name: str) -> bool:
        """Whether there is such a file, which then counts as used now."""
        path = self._folder / name
        if not path.is_file():
            return False
        with contextlib.suppress(OSError):  # deleted in the meantime, or not writable
            os.utime(path)
        return True

    def put(self, name: str, body: bytes) -> None:
        """Store the bytes atomically; write errors are ignored."""
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, body)
        except OSError:
            return
        with self._lock:
            self._size_bytes = self._count_bytes() if self._size_bytes is None else self._size_bytes + len(body)
            if self._size_bytes > self._limit:
                self._evict()

    def names(self) -> list[str]:
        return [path.relative_to(self._folder).as_posix() for _, _, path in self._files()]

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        with self._lock:
            self._size_bytes = None

    def _count_bytes(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _evict(self) -> None:
        """Remove the least recently used files, including leftovers of killed servers."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._limit * _FILL_AFTER_CLEANING:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size
        self._size_bytes = total

    def _files(self) -> list[tuple[int, int, Path]]:
        """Return (time of last use, bytes, path) of each file."""
        files = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    files.append((status.st_mtime_ns, status.st_size, path))
        return files


@lru_cache(maxsize=4)
def disk_cache(store: Path) -> DiskCache:
    """The cache of this store, from which what is stale is removed meanwhile when it is asked for first."""
    Thread(target=remove_stale, args=(store,), daemon=True).start()
    return DiskCache(store / CACHE_FOLDER)


def remove_stale(store: Path) -> None:
    """Remove the pictures of images without a file in the newest scan, and those of runs that were removed.

    Does nothing if the store cannot be read.
    """
    disk = DiskCache(store / CACHE_FOLDER)
    paths = [
        path
        for path in map(PurePosixPath, disk.names())
        if path.parts[0] in _PICTURES and not path.name.startswith(".")  # being written
    ]
    if not paths:
        return
    try:
        opened = Store(store)
        alive = set(opened.locate_images([path.stem for path in paths])["image_id"])
        runs = {folder.name for folder in opened.run_folders()}
    except (SegError, OSError):
        return
    disk.remove(
        str(path)
        for path in paths
        if path.stem not in alive or (path.parts[0] == "uncertainty" and path.parts[1] not in runs)
    )
