"""Append, read, merge and verify tables stored as folders of append-only Parquet parts.

A part's name ends with a digest of the whole file, verified the first time a process reads the part; page checksums are
verified on every read. Corruption therefore raises `StoreError` rather than yielding wrong numbers.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seglib.errors import Damaged, StoreError
from seglib.fileio.atomic import Scratch

Where = tuple[str, Sequence[str]]
"""Row filter: a column and the strings to keep."""

MERGED_ROWS = 100_000
"""`merge` does not touch parts with at least this many rows."""

COMPUTE_ANEW = "run again with --verify, or delete this file and run again; only its rows are recomputed"
"""Remedy for a damaged part whose rows can be recomputed."""

_DIGEST_LENGTH = 16

_SETTLED_NS = 2 * 10**9
"""A file modified more recently could change again within the same mtime, so its digest is not cached."""

_whole: set[tuple[str, int, int]] = set()
"""(path, bytes, mtime_ns) of parts whose digest this process has verified."""


def append(scratch: Scratch, folder: Path, table: pa.Table) -> Path:
    """Write a table as a new part of `folder`. Part names are unique and sort by write time."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    data = memoryview(buffer.getvalue())
    path = folder / f"part-{time.time_ns():020d}-{_digest(data)}.parquet"
    scratch.write(path, data, durable=True)
    return path


def names(folder: Path) -> list[str]:
    """Return the part names of a folder, oldest first."""
    return sorted(p.name for p in folder.glob("part-*.parquet"))


def read(
    folder: Path,
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    *,
    where: Where | None = None,
    remedy: str = COMPUTE_ANEW,
) -> pa.Table:
    """Read all rows of all parts, oldest first, as `schema` or the given `columns` of it.

    Safe while other processes append or merge. `where` filters while reading, which saves memory and most of the time;
    `remedy` is the advice in the error message about a damaged part.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for _ in range(20):
        try:
            return read_these(folder, names(folder), wanted, where=where, remedy=remedy)
        except FileNotFoundError:  # merged into another part since it was listed: list again
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
    """Read all rows of the named parts. Raises `FileNotFoundError` if one no longer exists."""
    tables = [_read_part(folder / name, schema, where, remedy) for name in part_names]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def merge(scratch: Scratch, folder: Path, schema: pa.Schema, key: Sequence[str]) -> None:
    """Merge small parts into one, keeping the newest row per `key`. The caller must hold the store lock."""
    small = [name for name in names(folder) if rows(folder / name) < MERGED_ROWS]
    if len(small) < 2:
        return
    table = pa.concat_tables([_read_part(folder / name, schema) for name in small])
    append(scratch, folder, newest(table, key))
    for name in small:
        (folder / name).unlink(missing_ok=True)


def rows(path: Path) -> int:
    """Return the number of rows of a part, from its footer."""
    try:
        _ensure_whole(path, COMPUTE_ANEW)
        return int(pq.read_metadata(path).num_rows)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, type(error).__name__, COMPUTE_ANEW) from None


def row_count(folder: Path) -> int:
    """Count the rows of all parts, superseded rows included. Safe while other processes append or merge."""
    for _ in range(20):
        try:
            return sum(rows(folder / name) for name in names(folder))
        except FileNotFoundError:  # merged into another part since it was listed
            continue
    raise _too_fast(folder)


def damaged(folder: Path, schema: pa.Schema, remedy: str = COMPUTE_ANEW) -> dict[str, Damaged]:
    """Verify every byte of every part; return part name -> error for the damaged ones."""
    found = {}
    for name in names(folder):
        try:
            _check(folder / name, schema, remedy)
        except FileNotFoundError:  # merged into another part since it was listed
            continue
        except Damaged as error:
            found[name] = error
    return found


def read_sound(folder: Path, schema: pa.Schema) -> pa.Table:
    """Read all rows of the undamaged parts, for repairs."""
    broken = damaged(folder, schema)
    return read_these(folder, [name for name in names(folder) if name not in broken], schema)


def newest(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """Keep the last row per `key`, in table order."""
    repeated = table.select(list(key)).to_pandas().duplicated(keep="last")
    return table.filter(pa.array(~repeated)) if repeated.any() else table


def _check(path: Path, schema: pa.Schema, remedy: str) -> None:
    _compare_digest(path, remedy)
    _read_part(path, schema, remedy=remedy)


def _ensure_whole(path: Path, remedy: str) -> None:
    """Verify the digest (8 ms for 100,000 rows) unless this process has done so since the file last changed."""
    about = path.stat()
    seen = str(path), about.st_size, about.st_mtime_ns
    if seen not in _whole:
        _compare_digest(path, remedy)
        if time.time_ns() - about.st_mtime_ns > _SETTLED_NS:
            _whole.add(seen)


def _compare_digest(path: Path, remedy: str) -> None:
    digest = path.stem.rpartition("-")[2]
    if len(digest) == _DIGEST_LENGTH and digest != _digest(path.read_bytes()):  # old names end randomly
        raise _damaged(path, "its content is not what was written", remedy)


def _read_part(path: Path, schema: pa.Schema, where: Where | None = None, remedy: str = COMPUTE_ANEW) -> pa.Table:
    filters = None if where is None else pc.field(where[0]).isin(pa.array(where[1], pa.string()))
    try:
        _ensure_whole(path, remedy)
        table = pq.read_table(
            path, columns=schema.names, memory_map=False, filters=filters, page_checksum_verification=True
        )
        return table.cast(schema)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise _damaged(path, type(error).__name__, remedy) from None


def _too_fast(folder: Path) -> StoreError:
    return StoreError(f"The parts of {folder.name!r} change faster than they can be read: try again.")


def _damaged(path: Path, how: str, remedy: str) -> Damaged:
    return Damaged(f"{'/'.join(path.parts[-4:])} is damaged ({how}): {remedy}.")


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_LENGTH]
