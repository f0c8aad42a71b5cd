"""Align the own columns in effect with the files of the table: one hash join per set of parts, not per column.

The additions of a column are looked up together, newest first, so that the first match of a file is the newest value.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.store.own_columns import log
from seglib.store.own_columns.log import ColumnStore
from seglib.store.own_columns.options import ARROW_TYPES, ColumnType
from seglib.store.schemas import COLUMN_PREFIX

_Actions = tuple[str, ...]
"""Additions with the same kind of key that follow each other in a column, newest first."""


def append_own_columns(
    store: ColumnStore,
    table: pa.Table,
    files: pa.Table,
    dataset_ids: Mapping[str, str],
    places: NDArray[np.intp],
) -> pa.Table:
    """The table with the own columns in effect as last columns; `places`: the row of `files` that each row is about."""
    own = align_columns(store, files, dataset_ids)
    if own.num_columns and (len(places) != len(files) or (places != np.arange(len(files))).any()):
        own = own.take(places)
    for name in own.column_names:
        table = table.append_column(name, own[name])
    return table


def align_columns(store: ColumnStore, files: pa.Table, dataset_ids: Mapping[str, str]) -> pa.Table:
    """The own columns in effect, called `column:<name>`, one row per row of `files`; null where nothing is known.

    `files`: dataset, path and image_id of each, sorted by dataset; `dataset_ids`: name of a dataset -> its id.
    """
    columns = log.effective_entries(log.read_entries(store))
    if not columns:
        return pa.table({})
    segments = {
        name: [(tuple(one.action for one in some), some[0].key) for some in log.split_by_key(additions)]
        for name, additions in columns.items()
    }
    joins: dict[tuple[_Actions, str], _Join] = {}
    for name, parts in segments.items():
        for part in parts:
            joins.setdefault(part, _Join(*part, [])).names.append(name)
    for join in joins.values():
        join.read(store, files, dataset_ids)
    aligned = {}
    for name, additions in columns.items():
        kind = log.unify_types(one.type for one in additions)
        aligned[COLUMN_PREFIX + name] = _combine([joins[part] for part in segments[name]], name, kind)
    return pa.table(aligned)


class _Join:
    """The values of some columns that were added together, looked up for every file."""

    def __init__(self, actions: _Actions, key: str, names: list[str]) -> None:
        self.actions, self.key, self.names = actions, key, names

    def read(self, store: ColumnStore, files: pa.Table, dataset_ids: Mapping[str, str]) -> None:
        self._tables = [log.read_values(store, action, self.key, self.names) for action in self.actions]
        keys = pa.concat_tables([table.select(log.key_columns(self.key)) for table in self._tables])
        if self.key == "image_id":
            self.places = _find(files["image_id"], keys["image_id"])
            return
        self.places = np.full(len(files), -1, np.int64)
        for name, rows in _dataset_rows(files):
            chosen = pc.equal(keys["dataset_id"], dataset_ids[name])
            if pc.all(chosen).as_py():
                self.places[rows] = _find(files["path"].slice(rows.start, rows.stop - rows.start), keys["path"])
                continue
            of_dataset = np.flatnonzero(chosen.to_numpy())
            found = _find(files["path"].slice(rows.start, rows.stop - rows.start), keys["path"].filter(chosen))
            self.places[rows] = np.append(of_dataset, -1)[found]

    def values(self, name: str, kind: ColumnType) -> pa.ChunkedArray:
        """The values of a column in the order of the files; categories may come as string."""
        every = join_additions(self._tables, name, kind)
        if len(every) == len(self.places) and (self.places == np.arange(len(every))).all():
            return every
        return every.take(pa.array(self.places, mask=self.places < 0))


def _dataset_rows(files: pa.Table) -> list[tuple[str, slice]]:
    """(name, its rows) of each dataset in a table that is sorted by dataset."""
    encoded = files["dataset"].unify_dictionaries().combine_chunks()
    codes = encoded.indices.to_numpy()
    if not len(codes):
        return []
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    ends = np.append(starts[1:], len(codes))
    names = encoded.dictionary.to_pylist()
    return [(names[codes[start]], slice(int(start), int(end))) for start, end in zip(starts, ends, strict=True)]


def _find(wanted: pa.ChunkedArray, known: pa.ChunkedArray) -> NDArray[np.int64]:
    """The first position of each wanted text among the known ones, -1 if it is not there."""
    if len(wanted) == len(known) and wanted.equals(known):  # as for a file about all photos of the store
        return np.arange(len(known), dtype=np.int64)
    found: NDArray[np.int64] = pc.index_in(wanted, value_set=known).fill_null(-1).to_numpy().astype(np.int64)
    return found


def join_additions(tables: Sequence[pa.Table], name: str, kind: ColumnType) -> pa.ChunkedArray:
    """The values of a column in several additions, one after the other; categories of several as string."""
    wanted = ARROW_TYPES[kind] if len(tables) == 1 or kind is not ColumnType.CATEGORY else pa.string()
    chunks = [_cast(table[COLUMN_PREFIX + name].combine_chunks(), wanted) for table in tables]
    return pa.chunked_array(chunks, wanted)


def _cast(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    if values.type == wanted:
        return values
    if pa.types.is_dictionary(values.type):
        values = values.cast(pa.string())
    return values.cast(wanted)


def _combine(joins: Sequence[_Join], name: str, kind: ColumnType) -> pa.ChunkedArray:
    """The newest value per file of a column whose additions name photos in several ways, newest first."""
    newest = joins[0].values(name, kind)
    places = joins[0].places
    for join in joins[1:]:
        older = join.values(name, kind)
        wanted = pa.string() if pa.types.is_dictionary(newest.type) else newest.type
        newest = pc.if_else(pa.array(places >= 0), newest.cast(wanted), older.cast(wanted))
        places = np.maximum(places, join.places)
    return newest if newest.type == ARROW_TYPES[kind] else newest.cast(pa.string()).dictionary_encode()
