"""Append, read, merge and verify tables stored as folders of append-only Parquet parts.

A part's name ends with a digest of the whole file, verified the first time a process reads the part; page checksums are
verified on every read. Corruption therefore raises `StoreError` rather than yielding wrong numbers.
"""

import errno
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seglib.errors import DamagedFileError, StoreError
from seglib.fileio.atomic import AtomicWriter
from seglib.fileio.shared_disk import is_gone

Result = TypeVar("Result")


MERGED_ROWS = 100_000
"""`merge` does not touch parts with at least this many rows."""

MERGED_BYTES = 1 << 27
"""Nor parts of at least this size, and it makes none that are larger."""

GROUP_ROWS = 1_000_000
"""Nor does it make parts of more rows, so that merging takes little memory: 0.2 GB for statistics of 21 classes."""

RECOMPUTE_REMEDY = "run again with `verify`, or delete this file and run again; only its rows are recomputed"
"""Remedy for a damaged part whose rows can be recomputed."""

_DIGEST_LENGTH = 16

_SETTLED_NS = 2 * 10**9
"""A file modified more recently could change again within the same mtime, so its digest is not cached."""

_RELIST_PAUSES_SECONDS = (0.0,) * 10 + (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)
"""Pauses before listing a folder again whose parts have vanished: a network disk may show an old list for a minute."""

_verified_parts: set[tuple[str, int, int]] = set()
"""(path, bytes, mtime_ns) of parts whose digest this process has verified."""


def later_field(name: str, kind: pa.DataType) -> pa.Field:
    """A column that parts written by earlier versions of this program lack: their rows have null."""
    return pa.field(name, kind, metadata={"later": "true"})


def append(scratch: AtomicWriter, folder: Path, table: pa.Table, *, written_ns: int | None = None) -> Path:
    """Write a table as a new part of `folder`. Part names are unique and sort by write time, `written_ns` or now."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    data = memoryview(buffer.getvalue())
    path = folder / f"part-{time.time_ns() if written_ns is None else written_ns:020d}-{_digest(data)}.parquet"
    scratch.write(path, data, durable=True)
    return path


def list_parts(folder: Path) -> list[str]:
    """Return the part names of a folder, oldest first."""
    return sorted(p.name for p in folder.glob("part-*.parquet"))


def read(
    folder: Path,
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    *,
    where: pc.Expression | None = None,
    remedy: str = RECOMPUTE_REMEDY,
) -> pa.Table:
    """Read all rows of all parts, oldest first, as `schema` or the given `columns` of it.

    Safe while other processes append or merge. `where` filters while reading, which saves memory and most of the time;
    `remedy` is the advice in the error message about a damaged part.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    return with_listing(folder, lambda names: read_parts(folder, names, wanted, where=where, remedy=remedy))


def convert_each(
    folder: Path, schema: pa.Schema, columns: Sequence[str], convert: Callable[[pa.Table], Result]
) -> list[Result]:
    """Call `convert` with these columns of each part, oldest first, so that no more than one is in memory."""
    wanted = pa.schema([schema.field(name) for name in columns])
    return with_listing(folder, lambda names: [convert(read_parts(folder, [name], wanted)) for name in names])


def read_parts(
    folder: Path,
    part_names: Sequence[str],
    schema: pa.Schema,
    *,
    where: pc.Expression | None = None,
    remedy: str = RECOMPUTE_REMEDY,
) -> pa.Table:
    """Read all rows of the named parts. Raises `FileNotFoundError` if one no longer exists."""
    tables = [_read_part(folder / name, schema, where, remedy) for name in part_names]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def merge(scratch: AtomicWriter, folder: Path, schema: pa.Schema, key: Sequence[str]) -> None:
    """Merge small parts into larger ones, keeping the newest row per `key` in each of them.

    Holds at most `GROUP_ROWS` rows at a time. Only parts that follow each other are merged, and the merged part takes
    the place of the newest of them, so that newer rows stay newer. The caller must hold the store lock.
    """
    for names in _group_small_parts(folder):
        table = pa.concat_tables([_read_part(folder / name, schema) for name in names])
        merged = append(scratch, folder, keep_newest(table, key), written_ns=_written_ns(names[-1]))
        for name in names:
            if name != merged.name:  # as when the newest part holds every row of the others
                (folder / name).unlink(missing_ok=True)


def _group_small_parts(folder: Path) -> list[list[str]]:
    """Small parts that are merged into one, oldest first: two or more in each group, which follow each other."""
    groups: list[list[str]] = [[]]
    group_rows = group_bytes = 0
    for name in list_parts(folder):
        rows, size = count_part_rows(folder / name), (folder / name).stat().st_size
        is_large = rows >= MERGED_ROWS or size >= MERGED_BYTES
        if is_large or group_rows + rows > GROUP_ROWS or group_bytes + size > MERGED_BYTES:
            groups.append([])
            group_rows = group_bytes = 0
        if not is_large:
            groups[-1].append(name)
            group_rows, group_bytes = group_rows + rows, group_bytes + size
    return [names for names in groups if len(names) > 1]


def _written_ns(name: str) -> int | None:
    """When a part was written, by its name; None if that does not say so."""
    time_ns = Path(name).stem.split("-")[1]
    return int(time_ns) if time_ns.isdecimal() else None


def count_part_rows(path: Path, remedy: str = RECOMPUTE_REMEDY) -> int:
    """Return the number of rows of a part, from its footer."""
    try:
        _verify_digest_once(path, remedy)
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _reading_error(path, error, remedy) from None


def count_rows(folder: Path) -> int:
    """Count the rows of all parts, superseded rows included. Safe while other processes append or merge."""
    return with_listing(folder, lambda names: sum(count_part_rows(folder / name) for name in names))


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What `survey` has found in a folder of parts."""

    rows: dict[str, int]
    """Rows of each intact part, oldest first."""
    damaged: dict[str, str]
    """Sentence for each damaged part: what is wrong, and what to do."""


def survey(folder: Path, remedy: str = RECOMPUTE_REMEDY) -> Survey:
    """Tell the intact parts of a folder from the damaged ones.

    As fast as `count_rows`: a part's digest is verified once per process, and of its rows only the footer is read.
    """
    return with_listing(folder, lambda names: _survey(folder, names, remedy))


def _survey(folder: Path, names: list[str], remedy: str) -> Survey:
    rows, damaged = {}, {}
    for name in names:
        try:
            rows[name] = count_part_rows(folder / name, remedy)
        except DamagedFileError as error:
            damaged[name] = str(error)
    return Survey(rows=rows, damaged=damaged)


def read_surveyed(folder: Path, schema: pa.Schema, remedy: str = RECOMPUTE_REMEDY) -> pa.Table:
    """Read all rows of the parts that `survey` finds intact, oldest first. Safe while others append or merge."""

    def read_them(names: list[str]) -> pa.Table:
        return read_parts(folder, list(_survey(folder, names, remedy).rows), schema, remedy=remedy)

    return with_listing(folder, read_them)


def find_damaged(folder: Path, schema: pa.Schema, remedy: str = RECOMPUTE_REMEDY) -> dict[str, DamagedFileError]:
    """Verify every byte of every part; return part name -> error for the damaged ones."""
    damaged = {}
    for name in list_parts(folder):
        try:
            _check(folder / name, schema, remedy)
        except FileNotFoundError:  # merged into another part since it was listed
            continue
        except DamagedFileError as error:
            damaged[name] = error
    return damaged


def read_intact(folder: Path, schema: pa.Schema) -> pa.Table:
    """Read all rows of the undamaged parts, for repairs."""
    broken = find_damaged(folder, schema)
    return read_parts(folder, [name for name in list_parts(folder) if name not in broken], schema)


def one_of(column: str, values: Sequence[str]) -> pc.Expression:
    """The rows whose string in this column is one of the values."""
    return pc.field(column).isin(pa.array(values, pa.string()))


def keep_newest(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """Keep the last row per `key`, in table order."""
    repeated = table.select(list(key)).to_pandas().duplicated(keep="last")
    return table.filter(pa.array(~repeated)) if repeated.any() else table


def _check(path: Path, schema: pa.Schema, remedy: str) -> None:
    _compare_digest(path, remedy)
    _read_part(path, schema, remedy=remedy)


def _verify_digest_once(path: Path, remedy: str) -> None:
    """Verify the digest (8 ms for 100,000 rows) unless this process has done so since the file last changed."""
    file_stat = path.stat()
    part_key = str(path), file_stat.st_size, file_stat.st_mtime_ns
    if part_key not in _verified_parts:
        _compare_digest(path, remedy)
        if time.time_ns() - file_stat.st_mtime_ns > _SETTLED_NS:
            _verified_parts.add(part_key)


def _compare_digest(path: Path, remedy: str) -> None:
    digest = path.stem.rpartition("-")[2]
    if len(digest) != _DIGEST_LENGTH:  # old names end randomly
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _reading_error(path, error, remedy) from None
    if digest != _digest(data):
        raise _damaged_error(path, "its content is not what was written", remedy)


def _read_part(
    path: Path, schema: pa.Schema, where: pc.Expression | None = None, remedy: str = RECOMPUTE_REMEDY
) -> pa.Table:
    try:
        _verify_digest_once(path, remedy)
        absent = _absent_columns(path, schema)
        present = [name for name in schema.names if name not in absent]
        table = pq.read_table(path, columns=present, memory_map=False, filters=where, page_checksum_verification=True)
        for name in absent:
            table = table.add_column(schema.get_field_index(name), name, pa.nulls(len(table), schema.field(name).type))
        return table.cast(schema)
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise _reading_error(path, error, remedy) from None


def _absent_columns(path: Path, schema: pa.Schema) -> list[str]:
    """Columns of `schema` that the part may lack (`later_field`) and does."""
    later = [field.name for field in schema if field.metadata]
    return [name for name in later if name not in pq.read_schema(path).names] if later else []


def with_listing(folder: Path, read: Callable[[list[str]], Result]) -> Result:
    """Call `read` with the parts of the folder, oldest first; again if some were merged into another meanwhile."""
    for pause in _RELIST_PAUSES_SECONDS:
        time.sleep(pause)
        try:
            return read(list_parts(folder))
        except FileNotFoundError:
            continue
    raise StoreError(f"The parts of {folder.name!r} change faster than they can be read: try again.")


def _reading_error(path: Path, error: Exception, remedy: str) -> OSError | StoreError:
    """What to raise if a part cannot be read: only what its content is to blame for is damage."""
    if isinstance(error, FileNotFoundError):
        return error
    if isinstance(error, OSError) and is_gone(error):
        return FileNotFoundError(errno.ENOENT, "merged into another part", str(path))
    if isinstance(error, OSError) and error.errno is not None and not path.is_dir():
        return StoreError(
            f"{_short_path(path)} cannot be read ({error.strerror}): check the disk, the network and the permissions, "
            "then try again."
        )
    return _damaged_error(path, type(error).__name__, remedy)


def _damaged_error(path: Path, how: str, remedy: str) -> DamagedFileError:
    return DamagedFileError(f"{_short_path(path)} is damaged ({how}): {remedy}.")


def _short_path(path: Path) -> str:
    return "/".join(path.parts[-4:])


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST_LENGTH]
