"""Work on a disk that several machines share: stale file handles, the disk's own clock, and signs of life.

A process on another machine cannot be asked whether it lives. It touches a file or folder every few seconds
(`heartbeat`); one that has not done so for `SILENT_SECONDS` is taken for dead.
"""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

HEARTBEAT_SECONDS = 5.0
SILENT_SECONDS = 60.0

_STALE_HANDLE_TRIES = 5


def is_gone(error: OSError) -> bool:
    """Return True if the file no longer exists. NFS says so by ESTALE if another machine removed an open file."""
    return error.errno in (errno.ENOENT, errno.ESTALE)


def retry_stale(read: Callable[[], Result]) -> Result:
    """Call `read`, again if another machine replaced the file in the meantime (ESTALE). Raises its other errors."""
    for _ in range(_STALE_HANDLE_TRIES - 1):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return read()


def silent_seconds(path: Path, store: Path) -> float:
    """Seconds since this file or folder of the store, or an entry directly in it, was last modified.

    Both times are of the disk's clock, which on NFS is the server's: no two machines need to agree on the time.
    """
    times = [path.stat().st_mtime]
    if path.is_dir():
        times.extend(entry.lstat().st_mtime for entry in path.iterdir())
    return _disk_time(store) - max(times)


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` every `HEARTBEAT_SECONDS` in a thread until the block ends; its OSErrors are ignored."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _disk_time(store: Path) -> float:
    """Return what the disk's clock shows, by letting it stamp the store's folder; this machine's if it may not."""
    try:
        os.utime(store)
        return store.stat().st_mtime
    except OSError:
        return time.time()
