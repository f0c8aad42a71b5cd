"""Rewrite the parts of own columns: drop what is no longer in effect, and follow datasets that become one.

Every function expects its caller to hold the store's lock.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seglib.fileio import parquet_parts
from seglib.store.own_columns import log
from seglib.store.own_columns.join import join_additions
from seglib.store.own_columns.log import ColumnStore, Entry
from seglib.store.own_columns.options import ARROW_TYPES, ColumnType
from seglib.store.schemas import COLUMN_PREFIX


def count_outdated(store: ColumnStore) -> int:
    """Number of rows of the log without effect: undone, removed, or removing."""
    entries = log.read_entries(store)
    return len(entries) - sum(map(len, log.effective_entries(entries).values()))


def compact(store: ColumnStore, dataset_ids: Collection[str]) -> None:
    """Keep only the columns in effect, and of those only values of these datasets; merge additions that follow each
    other. What was undone, removed or replaced can no longer be brought back. Values of vanished files are kept, since
    somebody has collected them and the files may come back.
    """
    old_parts = parquet_parts.list_parts(store.columns_folder())
    entries = log.read_entries(store)
    columns = log.effective_entries(entries)
    groups: dict[tuple[tuple[str, ...], str], list[list[Entry]]] = {}
    for additions in columns.values():
        for some in log.split_by_key(additions):
            groups.setdefault((tuple(one.action for one in some), some[0].key), []).append(some)
    kept: list[Entry] = []
    for members in groups.values():
        kept += _compact_group(store, members, dataset_ids)
    kept.sort(key=lambda entry: entry.time)
    if set(kept) != set(entries):
        if kept:
            log.append_entries(store, kept)
        for name in old_parts:
            (store.columns_folder() / name).unlink(missing_ok=True)
    used = {entry.action for entry in kept}
    for folder in store.column_values_folders():
        if folder.name not in used:
            store.atomic.discard(folder)


def _compact_group(store: ColumnStore, members: Sequence[list[Entry]], dataset_ids: Collection[str]) -> list[Entry]:
    """The rows of the log for columns that were added together, newest first; their values are rewritten if need be."""
    newest = [some[0] for some in members]
    names, key = [one.name for one in newest], newest[0].key
    tables = [log.read_values(store, one.action, key, names) for one in members[0]]
    keys = pa.concat_tables([table.select(log.key_columns(key)) for table in tables])
    is_kept = ~keys.to_pandas().duplicated(keep="first").to_numpy()
    if key != "image_id":
        is_known = pc.is_in(keys["dataset_id"], value_set=pa.array(sorted(dataset_ids), pa.string()))
        is_kept &= is_known.to_numpy()
    schema = log.values_schema(store.column_values_folder(newest[0].action))
    written = {name for name in (schema.names if schema else []) if name.startswith(COLUMN_PREFIX)}
    if len(tables) == 1 and is_kept.all() and written == {COLUMN_PREFIX + name for name in names}:
        return newest
    if not is_kept.any():
        return []
    rows, action = pa.array(np.flatnonzero(is_kept)), secrets.token_hex(8)
    values = []
    for some in members:
        kind = log.unify_types(one.type for one in some)
        values.append((some[0].name, kind, _concat(tables, some[0].name, kind).take(rows)))
    log.write_values(store, action, keys.take(rows), values)
    return [
        replace(
            entry, action=action, kind=log.KEPT, type=str(kind), photos=len(column) - column.null_count, undoes=None
        )
        for entry, (_, kind, column) in zip(newest, values, strict=True)
    ]


def _concat(tables: Sequence[pa.Table], name: str, kind: ColumnType) -> pa.Array:
    values = join_additions(tables, name, kind).combine_chunks()
    return values if values.type == ARROW_TYPES[kind] else values.dictionary_encode()


def rename_dataset(store: ColumnStore, old: str, new: str) -> None:
    """Make the values of the dataset with the id `old` those of `new`, which keeps its own where both have some."""
    for folder in store.column_values_folders():
        schema, parts = log.values_schema(folder), parquet_parts.list_parts(folder)
        if schema is None or "dataset_id" not in schema.names:
            continue
        table = parquet_parts.read_parts(folder, parts, schema, remedy=log.REMEDY)
        is_old = pc.equal(table["dataset_id"], old)
        if not pc.any(is_old, min_count=0).as_py():
            continue
        ids = pc.if_else(is_old, new, table["dataset_id"])
        table = table.set_column(table.column_names.index("dataset_id"), "dataset_id", ids)
        table = pa.concat_tables([table.filter(is_old), table.filter(pc.invert(is_old))])
        parquet_parts.append(store.atomic, folder, parquet_parts.keep_newest(table, log.FILE_KEY))
        for name in parts:
            (folder / name).unlink(missing_ok=True)
