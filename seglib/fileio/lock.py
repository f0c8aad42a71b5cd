"""Store lock for exclusive maintenance, and detection of other processes that write to the store.

    with lock(store_path):               # one process at a time merges, prunes or rewrites JSON
        ...

A lock is taken over if its holder was killed or its heartbeat stopped. Works between machines that share the disk, and
without hard links, too.
"""

import contextlib
import errno
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from seglib.errors import StoreError
from seglib.fileio.atomic import AtomicWriter
from seglib.fileio.process import host_and_boot, is_dead, process_start_time
from seglib.fileio.shared_disk import SILENT_SECONDS, heartbeat, is_gone, retry_stale, silent_seconds

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_WAIT_SECONDS = SILENT_SECONDS + 30
"""Longer than it takes until the lock of a dead process on another machine is taken over."""

_INCOMPLETE_LOCK_SECONDS = 2

_NO_HARD_LINK_ERRNOS = (
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EXDEV,
    errno.EMLINK,
)
"""errno values of file systems without hard links, or which refuse this one, as overlays and network disks do."""


@contextlib.contextmanager
def lock(store: Path, *, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
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
    try:
        with heartbeat(lambda: os.utime(path)):
            yield
    finally:
        if _is_held(path, mine):  # otherwise the heartbeat stalled and another process took over
            path.unlink(missing_ok=True)


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
            return _is_held(path, holder)  # the server made it, but its reply was lost and the request repeated
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


def _is_held(path: Path, holder: bytes) -> bool:
    """Whether the lock exists and is this holder's."""
    try:
        return retry_stale(path.read_bytes) == holder
    except FileNotFoundError:
        return False


def _remove_stale(path: Path) -> None:
    """Remove a stale lock. Serialized with flock, so that a lock that was just taken over is not removed."""
    try:
        with path.open("rb") as file:
            if _try_flock(file.fileno()) and _is_stale(path) and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink()
    except OSError as error:
        if not is_gone(error):
            raise


def _try_flock(descriptor: int) -> bool:
    """Return False if another process has it; it ends when the file is closed or the process is killed.

    Where flock does not exist (Windows, Lustre or NFS without a lock service), go on without: no lock may stay forever.
    """
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _is_stale(path: Path) -> bool:
    try:
        silent, text = silent_seconds(path, path.parent), path.read_bytes()
    except OSError:
        return False
    if silent > SILENT_SECONDS:
        return True
    try:
        holder = json.loads(text)
        return is_dead(holder["host"], holder["boot"], int(holder["pid"]), str(holder.get("started") or ""))
    except (ValueError, TypeError, KeyError):  # the creator was killed while writing the content
        return silent > _INCOMPLETE_LOCK_SECONDS


def _describe_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        elsewhere = "" if holder["host"] == host_and_boot()[0] else " of another machine"
        return f"process {holder['pid']}{elsewhere}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown process"


class RegisteredWriter(AtomicWriter):
    """An `AtomicWriter` that registers itself, so that other processes see that this one is writing to the store."""

    def __init__(self, store: Path) -> None:
        super().__init__(store)
        self._claimed_runs: set[str] = set()

    @contextlib.contextmanager
    def register_writer(self) -> Iterator[None]:
        """Remove leftovers of killed processes, then announce this process as a writer until the block ends.

        Waits for a prune in progress, because pruning checks for writers only at its start.
        """
        self.sweep()
        self._create_folder()
        self._writing = True
        try:
            with heartbeat(self._show_life):
                self._wait_for_lock()
                yield
        finally:
            self._writing = False
            self._claimed_runs.clear()
            self.close()

    def has_other_writers(self) -> bool:
        """Return True while another process writes to the store."""
        return any(not self._is_left_over(folder) for folder in self._other_folders())

    def claim_run(self, run: str) -> None:
        """Within `register_writer`: announce that this process adds to the run, so that others do not remove it."""
        self._claimed_runs.add(run)
        self._show_life()
        self._wait_for_lock()

    def is_run_claimed(self, run: str) -> bool:
        """Return True while another process adds to the run."""
        return any(
            (folder / _claim_name(run)).exists() and not self._is_left_over(folder) for folder in self._other_folders()
        )

    def _show_life(self) -> None:
        """Touch the folder and what it claims; make them again if this process was suspended and taken for dead."""
        self._create_folder()
        for run in tuple(self._claimed_runs):
            (self._folder / _claim_name(run)).touch()
        os.utime(self._folder)

    def _wait_for_lock(self) -> None:
        with lock(self._store):
            pass


def _claim_name(run: str) -> str:
    return f"run.{run}"
