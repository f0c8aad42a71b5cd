"""Store lock for exclusive maintenance, and detection of other processes that write to the store.

    with lock(store_path):               # one process at a time merges, prunes or rewrites JSON
        ...

A lock is taken over if its holder was killed or its heartbeat stopped. Works without hard links, too.
"""

import contextlib
import errno
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from seglib.errors import StoreError
from seglib.fileio.atomic import AtomicWriter, is_left_over
from seglib.fileio.process import host_and_boot, is_dead, process_start_time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


_STALE_SECONDS = 60

_INCOMPLETE_LOCK_SECONDS = 2

_NO_HARD_LINK_ERRNOS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""errno values of file systems without hard links."""


@contextlib.contextmanager
def lock(store: Path, *, wait_seconds: float = 30) -> Iterator[None]:
    """Hold the store lock, which merging, pruning and rewriting JSON require.

    Takes over the lock of a holder that died or whose heartbeat stopped. Raises `StoreError` after `wait_seconds`.
    """
    path = store / "lock"
    deadline = time.monotonic() + wait_seconds
    mine = _own_lock_content()
    while not _try_lock(path, mine):
        if time.monotonic() > deadline:
            raise StoreError(
                f"Another process is cleaning up this store ({_describe_holder(path)}): try again when it is done."
            )
        time.sleep(0.05)
    stop = threading.Event()
    beat = threading.Thread(target=_run_heartbeat, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == mine:  # otherwise the heartbeat stalled and another process took over
                path.unlink()


def _own_lock_content() -> bytes:
    host, boot = host_and_boot()
    holder = {"pid": os.getpid(), "host": host, "boot": boot, "started": process_start_time(os.getpid())}
    return json.dumps(holder | {"id": secrets.token_hex(8)}).encode()


def _try_lock(path: Path, holder: bytes) -> bool:
    """Create the lock file together with its content, so that a killed holder can always be identified."""
    if path.exists():
        _remove_stale(path)
        if path.exists():
            return False
    with AtomicWriter(path.parent).temporary_file(holder) as whole:
        try:
            os.link(whole, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINK_ERRNOS:
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
    """Remove a stale lock. Serialized with flock, so that a lock that was just taken over is not removed."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if fcntl is not None:
            try:
                fcntl.flock(
                    file, fcntl.LOCK_EX | fcntl.LOCK_NB
                )  # released when the file is closed or the process is killed
            except OSError:  # another process is doing this
                return
        if _is_stale(path) and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()


def _run_heartbeat(path: Path, stop: threading.Event) -> None:
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
    except (ValueError, TypeError, KeyError):  # the creator was killed while writing the content
        return silent_seconds > _INCOMPLETE_LOCK_SECONDS


def _describe_holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "unknown process"


class RegisteredWriter(AtomicWriter):
    """An `AtomicWriter` that registers itself, so that other processes see that this one is writing to the store."""

    @contextlib.contextmanager
    def register_writer(self) -> Iterator[None]:
        """Remove leftovers of killed processes, then announce this process as a writer until the block ends.

        Waits for a prune in progress, because pruning checks for writers only at its start.
        """
        self.sweep()
        self._create_folder()
        self._writing = True
        try:
            self._wait_for_lock()
            yield
        finally:
            self._writing = False
            self.close()

    def has_other_writers(self) -> bool:
        """Return True while another process writes to the store."""
        return any(not is_left_over(folder) for folder in self._other_folders())

    def claim_run(self, run: str) -> None:
        """Within `register_writer`: announce that this process adds to the run, so that others do not remove it."""
        (self._folder / f"run.{run}").touch()
        self._wait_for_lock()

    def is_run_claimed(self, run: str) -> bool:
        """Return True while another process adds to the run."""
        return any((folder / f"run.{run}").exists() and not is_left_over(folder) for folder in self._other_folders())

    def _wait_for_lock(self) -> None:
        with lock(self._store):
            pass
