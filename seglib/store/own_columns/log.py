"""The log of what was added and removed, below `<store>/columns/`, and the parts that hold the values.

Each action appends rows to the log: one per column that a file added or that was removed; an undo is a row that names
the action it cancels. The values of an addition are one part in `columns/<action>/`, written before its rows in the
log. The columns in effect are a replay of all actions that were not undone. Only pruning rewrites parts.
"""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from seglib.errors import DamagedFileError, UnknownName
from seglib.fileio import parquet_parts
from seglib.fileio.lock import RegisteredWriter, lock
from seglib.store.own_columns.options import ARROW_TYPES, ColumnType
from seglib.store.schemas import COLUMN_PREFIX

ADD, REMOVE, UNDO, KEPT = "add", "remove", "undo", "kept"
"""Kinds of rows; `kept` is an addition that pruning has rewritten, which can no longer be undone."""

SCHEMA = pa.schema(
    [
        *(("time", pa.int64()), ("action", pa.string()), ("kind", pa.string()), ("name", pa.string())),
        *(("type", pa.string()), ("key", pa.string()), ("photos", pa.int64()), ("source", pa.string())),
        ("undoes", pa.string()),
    ]
)
"""`time` in ns since 1970; `photos`: how many have a value; `source`: the name of the file."""

KEY = ("action", "name")

FILE_KEY = ("dataset_id", "path")
IMAGE_KEY = ("image_id",)

REMEDY = "restore it from a copy, or remove its columns and add their file again"


class ColumnStore(Protocol):
    """The attributes of a store that own columns need."""

    path: Path
    atomic: RegisteredWriter

    def columns_folder(self) -> Path: ...

    def column_values_folder(self, action: str) -> Path: ...

    def column_values_folders(self) -> list[Path]: ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the log."""

    time: int
    action: str
    kind: str
    name: str
    type: str
    key: str
    photos: int
    source: str
    undoes: str | None


@dataclass(frozen=True, kw_only=True)
class ColumnAction:
    """One action, which `undo` reverts as a whole."""

    id: str
    kind: str
    """`add` or `remove`."""
    names: tuple[str, ...]
    source: str
    """Name of the file that was added."""


@dataclass(frozen=True, kw_only=True)
class ColumnInfo:
    """A column in effect."""

    name: str
    type: ColumnType
    key: str
    """`path` or `image_id`, or both with a comma between them: what its values belong to."""
    photos: int
    """Photos with a value, counted when they were added; of several additions the largest."""
    sources: tuple[str, ...]
    """Names of the files, oldest first."""


def key_columns(key: str) -> tuple[str, ...]:
    """The columns of a part that say which photo a value belongs to."""
    return IMAGE_KEY if key == "image_id" else FILE_KEY


def read_entries(store: ColumnStore) -> list[Entry]:
    """All rows of the log, oldest first."""
    table = parquet_parts.read(store.columns_folder(), SCHEMA, remedy=REMEDY)
    entries = dict.fromkeys(Entry(**row) for row in table.to_pylist())  # while it is rewritten, rows stand there twice
    if not all(map(_is_valid, entries)):
        raise DamagedFileError(f"The log of own columns has a row of an unknown kind: {REMEDY}.")
    return sorted(entries, key=lambda entry: entry.time)


def _is_valid(entry: Entry) -> bool:
    """Check every value that others rely on, since the file may come from elsewhere or from a newer version."""
    if entry.time is None or entry.action is None or entry.name is None:
        return False
    if entry.kind in (REMOVE, UNDO):
        return True
    return entry.kind in (ADD, KEPT) and entry.type in {*ColumnType} and entry.key in ("path", "image_id")


def effective_entries(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Name of each column in effect -> its additions, oldest first; in the order in which they were first added."""
    entries = list(entries)
    undone = {entry.undoes for entry in entries if entry.undoes}
    columns: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind == UNDO or entry.action in undone:
            continue
        if entry.kind == REMOVE:
            columns.pop(entry.name, None)
        else:
            columns.setdefault(entry.name, []).append(entry)
    return columns


def split_by_key(additions: Sequence[Entry]) -> list[list[Entry]]:
    """The additions of a column, newest first, cut where the kind of key changes."""
    return [list(some) for _, some in groupby(reversed(additions), lambda one: one.key)]


def unify_types(types: Iterable[str]) -> ColumnType:
    """The type of a column that was added several times."""
    found = {ColumnType(one) for one in types}
    if len(found) == 1:
        return found.pop()
    return ColumnType.NUMBER if found == {ColumnType.INTEGER, ColumnType.NUMBER} else ColumnType.TEXT


def list_columns(store: ColumnStore) -> list[ColumnInfo]:
    """The columns in effect."""
    return [
        ColumnInfo(
            name=name,
            type=unify_types(one.type for one in additions),
            key=", ".join(sorted({one.key for one in additions})),
            photos=max(one.photos for one in additions),
            sources=tuple(dict.fromkeys(one.source for one in additions)),
        )
        for name, additions in effective_entries(read_entries(store)).items()
    ]


def append_addition(
    store: ColumnStore, keys: pa.Table, columns: Sequence[tuple[str, ColumnType, pa.Array]], key: str, source: str
) -> str:
    """Write the values and then the log; returns the action's id. The caller must hold the store's lock.

    `keys`: `FILE_KEY` or `IMAGE_KEY`, one row per photo; `columns`: (name, type, values of `ARROW_TYPES`).
    """
    action = secrets.token_hex(8)
    write_values(store, action, keys, columns)
    now = _next_time(read_entries(store))
    append_entries(
        store,
        [
            Entry(
                time=now,
                action=action,
                kind=ADD,
                name=name,
                type=kind,
                key=key,
                photos=len(values) - values.null_count,
                source=source,
                undoes=None,
            )
            for name, kind, values in columns
        ],
    )
    return action


def write_values(
    store: ColumnStore, action: str, keys: pa.Table, columns: Sequence[tuple[str, ColumnType, pa.Array]]
) -> None:
    for name, kind, values in columns:
        keys = keys.append_column(COLUMN_PREFIX + name, values.cast(ARROW_TYPES[kind]))
    parquet_parts.append(store.atomic, store.column_values_folder(action), keys)


def append_entries(store: ColumnStore, entries: Sequence[Entry]) -> None:
    table = pa.Table.from_pylist([vars(entry) for entry in entries], SCHEMA)
    parquet_parts.append(store.atomic, store.columns_folder(), table)


def remove(store: ColumnStore, names: Sequence[str]) -> ColumnAction:
    """Remove these columns; `undo` brings them back. Raises `UnknownName`."""
    with lock(store.path):
        entries = read_entries(store)
        known = effective_entries(entries)
        for name in names:
            if name not in known:
                raise UnknownName("own column", name, known)
        return _append_action(store, entries, REMOVE, list(dict.fromkeys(names)))


def undo(store: ColumnStore, action: str | None = None) -> ColumnAction | None:
    """Undo an action (default: the latest not yet undone) and return it; None if there is nothing to undo."""
    with lock(store.path):
        entries = read_entries(store)
        wanted = find_undoable(entries, action)
        if wanted is not None:
            _append_action(store, entries, UNDO, [""], undoes=wanted.id)
        return wanted


def last_action(store: ColumnStore) -> ColumnAction | None:
    """What `undo` would undo."""
    return find_undoable(read_entries(store), None)


def find_undoable(entries: Sequence[Entry], action: str | None) -> ColumnAction | None:
    undone = {entry.undoes for entry in entries}
    open_entries = [one for one in entries if one.kind in (ADD, REMOVE) and one.action not in undone]
    if action is None and open_entries:
        action = open_entries[-1].action
    rows = [one for one in open_entries if one.action == action]
    if not rows:
        return None
    return ColumnAction(
        id=rows[0].action, kind=rows[0].kind, names=tuple(one.name for one in rows), source=rows[0].source
    )


def _append_action(
    store: ColumnStore, entries: Sequence[Entry], kind: str, names: Sequence[str], *, undoes: str | None = None
) -> ColumnAction:
    action, now = secrets.token_hex(8), _next_time(entries)
    append_entries(
        store,
        [
            Entry(time=now, action=action, kind=kind, name=name, type="", key="", photos=0, source="", undoes=undoes)
            for name in names
        ],
    )
    return ColumnAction(id=action, kind=kind, names=tuple(names), source="")


def _next_time(entries: Sequence[Entry]) -> int:
    """Now, or just after every known entry if the system clock was set back."""
    return max([time.time_ns(), *(entry.time + 1 for entry in entries)])


# --- parts -------------------------------------------------------------------------------------------------------


def read_values(store: ColumnStore, action: str, key: str, names: Sequence[str]) -> pa.Table:
    """The keys of an addition and the values of these columns, with the types that were written.

    Raises `DamagedFileError` if they are damaged or gone.
    """
    folder = store.column_values_folder(action)
    schema = values_schema(folder)
    if schema is None:
        parquet_parts.read(folder, pa.schema([]), remedy=REMEDY)  # says how they are damaged
        raise DamagedFileError(f"The values of the own column {names[0]!r} are gone: {REMEDY}.")
    wanted = [*key_columns(key), *(COLUMN_PREFIX + name for name in names)]
    known = {field.name: field.type for field in schema}
    for name in wanted:
        types = (pa.string(),) if name in key_columns(key) else tuple(ARROW_TYPES.values())
        if known.get(name) not in types:
            raise DamagedFileError(f"The values of the own columns have no {name!r} of a known type: {REMEDY}.")
    return parquet_parts.read(folder, schema, wanted, remedy=REMEDY)


def values_schema(folder: Path) -> pa.Schema | None:
    """The schema of the values in a folder; None if there are none that can be read."""
    return parquet_parts.with_listing(folder, lambda names: _first_schema(folder, names))


def _first_schema(folder: Path, part_names: Sequence[str]) -> pa.Schema | None:
    for name in part_names:
        try:
            return pq.read_schema(folder / name).remove_metadata()
        except FileNotFoundError:  # merged into another part: listed again
            raise
        except (pa.ArrowException, OSError, ValueError):
            continue
    return None


def part_folders(store: ColumnStore) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Yield every folder of parts with its schema and key."""
    yield store.columns_folder(), SCHEMA, KEY
    for folder in store.column_values_folders():
        schema = values_schema(folder) or pa.schema([])
        yield folder, schema, tuple(name for name in (*FILE_KEY, *IMAGE_KEY) if name in schema.names)
