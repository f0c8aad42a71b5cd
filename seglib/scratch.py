"""Plain files that survive a kill: atomic writes, and one lock.

In: bytes, paths. Out: files, or `StoreError`. A file appears under its final name only when it is whole: it is written
below `<store>/tmp/`, on the same file system, and renamed. Knows nothing of what is in the files.
"""

import contextlib
import ctypes
import errno
import json
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from seglib.errors import StoreError
from seglib.liveness import is_dead, machine, started

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_STALE_SECONDS = 60
_SPEECHLESS_SECONDS = 2
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links say."""

_FOREIGN_LEFTOVER_SECONDS = 86_400


class Scratch:
    """A folder for half-written files: `<store>/tmp/<host>.<boot>.<pid>.<start>-<hex>`, gone when it is not in use.

    Whoever is done with it also removes what killed processes left.
    """

    def __init__(self, store: Path) -> None:
        self._store, self._base = store, store / "tmp"
        self._folder = self._base / _mark()
        self._writing = False

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Sweep what killed processes left; show others that this one writes to the store until it is done.

        Waits while somebody prunes: who prunes looks for writers first.
        """
        self.sweep()
        self._make()
        self._writing = True
        try:
            self._let_tidying_end()
            yield
        finally:
            self._writing = False
            self.close()

    def other_writers(self) -> bool:
        """True while another process is writing here."""
        return any(not _is_left_over(folder) for folder in self._others())

    def claim(self, run: str) -> None:
        """Show others, while `writing`, that this process adds to this run: it must not be removed."""
        (self._folder / f"run.{run}").touch()
        self._let_tidying_end()

    def claimed(self, run: str) -> bool:
        """True while another process adds to this run."""
        return any((folder / f"run.{run}").exists() and not _is_left_over(folder) for folder in self._others())

    def discard(self, folder: Path) -> None:
        """Remove a folder of the store with all that is in it: for readers at once, whatever its size."""
        grave = self._place()
        try:
            os.replace(folder, grave)
            shutil.rmtree(grave)
        finally:
            self._leave()

    def write(self, path: Path, data: bytes | memoryview, *, durable: bool = False) -> None:
        """Write `path` whole or not at all. `durable` also waits until it is on the disk (fsync)."""
        with self.new_file(data, durable=durable) as temporary:
            _into_place(temporary, path)
        if durable:
            _sync_folder(path.parent)

    @contextlib.contextmanager
    def new_file(self, data: bytes | memoryview, *, durable: bool = False) -> Iterator[Path]:
        """A file with this content under a name of its own, to be moved or linked; else it goes again."""
        temporary, file = self._opened()
        try:
            with file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            yield temporary
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._leave()

    @contextlib.contextmanager
    def new_folder(self, path: Path) -> Iterator[Path]:
        """An empty folder to fill, which becomes `path` in one step if that went well and nobody else was first."""
        temporary = self._place()
        temporary.mkdir()
        try:
            yield temporary
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.rename(path)
            except OSError:
                if not path.exists():  # else another process was first
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            self._leave()

    def settle(self) -> None:
        """Wait until all that was written to this file system is on the disk: at once for any number of files.

        So that after a power cut no part speaks of a mask that is not there. By measurement on ext4 this takes 40 ms
        after 512 masks and thumbnails, where one fsync each takes 5 s.
        """
        if sys.platform == "linux" and (syncfs := _syncfs()) is not None:
            descriptor = os.open(self._store, os.O_RDONLY)
            try:
                syncfs(descriptor)
            finally:
                os.close(descriptor)
        elif hasattr(os, "sync"):
            os.sync()

    def sweep(self) -> int:
        """Remove what killed processes left half-written; returns how many files. Living processes keep theirs."""
        swept = 0
        for folder in self._others():
            if _is_left_over(folder):
                swept += len(list(folder.glob("*")))
                shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process writes there, or it is gone
            self._base.rmdir()
        return swept

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._leave()

    def _others(self) -> list[Path]:
        """Folders of other writers, dead ones among them."""
        try:
            return [folder for folder in self._base.iterdir() if folder != self._folder]
        except FileNotFoundError:
            return []

    def _place(self) -> Path:
        """Where something new may be made."""
        self._make()
        return self._folder / secrets.token_hex(8)

    def _opened(self) -> tuple[Path, BinaryIO]:
        for _ in range(20):
            temporary = self._place()
            try:
                return temporary, temporary.open("wb")
            except FileNotFoundError:  # another thread has just been done with the folder
                continue
        raise StoreError(f"{self._folder.name!r} is taken away faster than it can be written to: try again.")

    def _make(self) -> None:
        for _ in range(20):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except (FileNotFoundError, FileExistsError):  # another process has just removed the folder above it
                continue
            return

    def _leave(self) -> None:
        """Whoever sees the folder takes this process for a writer, so it goes when nothing is in it."""
        if not self._writing:
            with contextlib.suppress(OSError):  # another thread writes here, or it is gone
                self._folder.rmdir()
            self.sweep()

    def _let_tidying_end(self) -> None:
        with lock(self._store):
            pass


@contextlib.contextmanager
def lock(store: Path, *, wait_seconds: float = 30) -> Iterator[None]:
    """One process at a time merges, prunes or rewrites JSON. A lock whose holder died or fell silent is taken over."""
    path = store / "lock"
    deadline = time.monotonic() + wait_seconds
    mine = _holder_here()
    while not _try_lock(path, mine):
        if time.monotonic() > deadline:
            raise StoreError(f"Another process is tidying this store ({_holder(path)}): try again when it is done.")
        time.sleep(0.05)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == mine:  # else it fell silent, and another process took over
                path.unlink()


def _into_place(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except FileNotFoundError:  # the first file of its folder
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)


def _holder_here() -> bytes:
    host, boot = machine()
    holder = {"pid": os.getpid(), "host": host, "boot": boot, "started": started(os.getpid())}
    return json.dumps(holder | {"id": secrets.token_hex(8)}).encode()


def _try_lock(path: Path, holder: bytes) -> bool:
    """The lock appears with its content at once: whoever is killed here leaves one that says whose it was."""
    if path.exists():
        _remove_stale(path)
        if path.exists():
            return False
    with Scratch(path.parent).new_file(holder) as whole:
        try:
            os.link(whole, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _lock_by_creating(path, holder)
    return True


def _lock_by_creating(path: Path, holder: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(holder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _remove_stale(path: Path) -> None:
    """Only one process at a time, so that none takes away the lock that another has just taken over."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when the file is closed, or by a kill
            except OSError:  # somebody else is at it
                return
        if _is_stale(path) and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(5):
        with contextlib.suppress(OSError):
            os.utime(path)


def _is_stale(path: Path) -> bool:
    try:
        silent_seconds, text = time.time() - path.stat().st_mtime, path.read_bytes()
    except OSError:
        return False
    if silent_seconds > _STALE_SECONDS:
        return True
    try:
        holder = json.loads(text)
        return is_dead(holder["host"], holder["boot"], int(holder["pid"]), str(holder.get("started") or ""))
    except (ValueError, TypeError, KeyError):  # whoever made it was killed before its last word
        return silent_seconds > _SPEECHLESS_SECONDS


def _holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "unknown process"


def _mark() -> str:
    """The name of a folder of this process."""
    pid = os.getpid()
    return ".".join((*machine(), str(pid), f"{started(pid) or ''}-{secrets.token_hex(4)}"))


def _is_left_over(folder: Path) -> bool:
    try:
        host, boot, pid, *more = folder.name.split(".")
        began = more[0].partition("-")[0] if more else ""
        return is_dead(host, boot, int(pid), began) or time.time() - folder.stat().st_mtime > _FOREIGN_LEFTOVER_SECONDS
    except (ValueError, OSError):
        return False


def _sync_folder(folder: Path) -> None:
    """So that a new name is on the disk too. Not everywhere can a folder be opened for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@lru_cache(maxsize=1)
def _syncfs() -> Callable[[int], None] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        return None

    def syncfs(descriptor: int) -> None:
        if function(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return syncfs
