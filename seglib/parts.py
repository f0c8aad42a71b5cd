"""Plain files that survive a kill: atomic writes, append-only folders of Parquet parts, their merging, one lock.

In: bytes, Arrow tables, folders. Out: the same, or `StoreError`. A file appears under its final name only when it is
whole: it is written below `<store>/tmp/`, on the same file system, and renamed. Knows nothing of what the rows mean.
"""

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seglib.errors import StoreError

Where = tuple[str, Sequence[str]]
"""A column and texts: only rows are read that hold one of them there."""

MERGED_ROWS = 100_000
"""Parts of at least this many rows are left alone by `merge`."""

COMPUTE_ANEW = "delete this file and run again; only its rows are computed anew"
"""What to do about a damaged part whose rows can be computed."""

_STALE_SECONDS = 60
_FOREIGN_LEFTOVER_SECONDS = 86_400


class Scratch:
    """This process's folder for half-written files: `<store>/tmp/<host>.<boot>.<pid>`."""

    def __init__(self, store: Path) -> None:
        self._base = store / "tmp"
        self._folder = self._base / ".".join((*machine(), str(os.getpid())))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Sweep what killed processes left; show others that this one writes to the store until it is done."""
        self.sweep()
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            self.close()

    def other_writers(self) -> bool:
        """True while another process is writing here."""
        folders = self._base.iterdir() if self._base.is_dir() else ()
        return any(folder != self._folder and not _is_left_over(folder) for folder in folders)

    def claim(self, run: str) -> None:
        """Show others, while `writing`, that this process adds to this run: it must not be removed."""
        (self._folder / f"run.{run}").touch()

    def claimed(self, run: str) -> bool:
        """True while another process adds to this run."""
        folders = [claim.parent for claim in self._base.glob("*/run.*") if claim.name == f"run.{run}"]
        return any(folder != self._folder and not _is_left_over(folder) for folder in folders)

    def discard(self, folder: Path) -> None:
        """Remove a folder of the store with all that is in it: for readers at once, whatever its size."""
        self._folder.mkdir(parents=True, exist_ok=True)
        grave = self._folder / secrets.token_hex(8)
        os.replace(folder, grave)
        shutil.rmtree(grave)

    def write(self, path: Path, data: bytes, *, durable: bool = False) -> None:
        """Write `path` whole or not at all. `durable` also waits until it is on the disk (fsync)."""
        temporary = self._folder / secrets.token_hex(8)
        try:
            file = temporary.open("wb")
        except FileNotFoundError:  # the first file of this process
            self._folder.mkdir(parents=True, exist_ok=True)
            file = temporary.open("wb")
        with file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        _into_place(temporary, path)

    @contextlib.contextmanager
    def new_folder(self, path: Path) -> Iterator[Path]:
        """An empty folder to fill, which becomes `path` in one step if that went well and nobody else was first."""
        temporary = self._folder / secrets.token_hex(8)
        temporary.mkdir(parents=True)
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

    def append(self, folder: Path, table: pa.Table) -> Path:
        """Commit a table as a new part of `folder`; names sort by time of writing and never repeat."""
        path = folder / f"part-{time.time_ns():020d}-{secrets.token_hex(4)}.parquet"
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / secrets.token_hex(8)
        pq.write_table(table, temporary, compression="zstd")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _into_place(temporary, path)
        return path

    def sweep(self) -> int:
        """Remove what killed processes left half-written; returns how many files. Living processes keep theirs."""
        swept = 0
        for folder in self._base.iterdir() if self._base.is_dir() else ():
            if folder != self._folder and _is_left_over(folder):
                swept += sum(1 for _ in folder.iterdir()) if folder.is_dir() else 1
                shutil.rmtree(folder, ignore_errors=True)
        return swept

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process writes there
            self._base.rmdir()


def names(folder: Path) -> list[str]:
    """The parts of a folder, oldest first."""
    return sorted(p.name for p in folder.glob("part-*.parquet"))


def read(
    folder: Path,
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    *,
    where: Where | None = None,
    remedy: str = COMPUTE_ANEW,
) -> pa.Table:
    """All rows of all parts, oldest first, as `schema`, or `columns` of it. Safe while others append or merge.

    `where` saves memory and most of the time; `remedy` says what to do about a damaged part.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for _ in range(20):
        try:
            return read_these(folder, names(folder), wanted, where=where, remedy=remedy)
        except FileNotFoundError:  # merged away since it was listed: list again
            continue
    raise _too_fast(folder)


def read_these(
    folder: Path,
    part_names: Sequence[str],
    schema: pa.Schema,
    *,
    where: Where | None = None,
    remedy: str = COMPUTE_ANEW,
) -> pa.Table:
    """All rows of these parts. Raises `FileNotFoundError` if one of them is gone."""
    tables = [_read_part(folder / name, schema, where, remedy) for name in part_names]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def merge(scratch: Scratch, folder: Path, schema: pa.Schema, key: Sequence[str]) -> None:
    """Replace small parts by one; of rows with equal `key` the newest stays. The caller holds the lock."""
    small = [name for name in names(folder) if rows(folder / name) < MERGED_ROWS]
    if len(small) < 2:
        return
    table = pa.concat_tables([_read_part(folder / name, schema) for name in small])
    scratch.append(folder, newest(table, key))
    for name in small:
        (folder / name).unlink(missing_ok=True)


def rows(path: Path) -> int:
    """Of one part, from its footer."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error, COMPUTE_ANEW) from None


def row_count(folder: Path) -> int:
    """Rows of all parts, those included that a later one replaces. Safe while others append or merge."""
    for _ in range(20):
        try:
            return sum(rows(folder / name) for name in names(folder))
        except FileNotFoundError:  # merged away since it was listed
            continue
    raise _too_fast(folder)


def newest(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """The last row of each `key`, in the table's order."""
    repeated = table.select(list(key)).to_pandas().duplicated(keep="last")
    return table.filter(pa.array(~repeated)) if repeated.any() else table


@contextlib.contextmanager
def lock(store: Path, *, wait_seconds: float = 30) -> Iterator[None]:
    """One process at a time merges, prunes or rewrites JSON. A lock whose holder died or fell silent is taken over."""
    path = store / "lock"
    deadline = time.monotonic() + wait_seconds
    while not _try_lock(path):
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
        path.unlink(missing_ok=True)


def _read_part(path: Path, schema: pa.Schema, where: Where | None = None, remedy: str = COMPUTE_ANEW) -> pa.Table:
    filters = None if where is None else pc.field(where[0]).isin(pa.array(where[1], pa.string()))
    try:
        return pq.read_table(path, columns=schema.names, memory_map=False, filters=filters).cast(schema)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise _damaged(path, error, remedy) from None


def _too_fast(folder: Path) -> StoreError:
    return StoreError(f"The parts of {folder.name!r} change faster than they can be read: try again.")


def _damaged(path: Path, error: Exception, remedy: str) -> StoreError:
    return StoreError(f"{'/'.join(path.parts[-4:])} is damaged ({type(error).__name__}): {remedy}.")


def _into_place(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except FileNotFoundError:  # the first file of its folder
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)


def _try_lock(path: Path) -> bool:
    if _is_stale(path):
        grave = path.with_name(f"lock.{secrets.token_hex(4)}")
        with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
            os.replace(path, grave)
            grave.unlink()
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    host, boot = machine()
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), "host": host, "boot": boot}, file)
    return True


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(5):
        with contextlib.suppress(OSError):
            os.utime(path)


def _is_stale(path: Path) -> bool:
    try:
        silent_seconds = time.time() - path.stat().st_mtime
        holder = json.loads(path.read_text() or "{}")
    except (OSError, ValueError):
        return False
    if silent_seconds > _STALE_SECONDS:
        return True
    return bool(holder) and _is_dead(holder["host"], holder["boot"], int(holder["pid"]))


def _holder(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "unknown process"


def _is_left_over(folder: Path) -> bool:
    try:
        host, boot, pid = folder.name.split(".")
        return _is_dead(host, boot, int(pid)) or time.time() - folder.stat().st_mtime > _FOREIGN_LEFTOVER_SECONDS
    except (ValueError, OSError):
        return False


def machine() -> tuple[str, str]:
    """8 hex digits for this host and for its current boot."""
    host = platform.node()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = "unknown"
    return hashlib.sha256(host.encode()).hexdigest()[:8], hashlib.sha256(boot.encode()).hexdigest()[:8]


def _is_dead(host: str, boot: str, pid: int) -> bool:
    """True only if it is certain: same host, and either another boot or no such process."""
    here, now = machine()
    if host != here or os.name == "nt":  # Windows has no harmless signal to ask with: there the heartbeat decides
        return False
    if boot != now:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
