"""Add the columns of a file to a store: read it, find its photos, type its values, keep them.

`read_columns` changes nothing, and its result says what `keep_columns` would add; `add_columns` does both.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.data.photo_measures.exif import PhotoExif
from seglib.errors import UnknownName, UsageError
from seglib.fileio.lock import lock
from seglib.store.own_columns import log
from seglib.store.own_columns.keys import DATASET_COLUMN, FoundPhotos, PhotoIndex, find_photos, uses_dataset_column
from seglib.store.own_columns.options import ColumnOptions, ColumnType
from seglib.store.own_columns.reading import RawFile, is_table_column, list_names, read_raw
from seglib.store.own_columns.types.judging import TypedColumn, judge_columns
from seglib.store.photo_measures.rows import MEANINGS as MEASURES
from seglib.store.records import clean_title

if TYPE_CHECKING:
    from seglib.store.store import Store

MAX_COLUMNS = 200
"""Own columns that a store has at most."""


@dataclass(frozen=True, kw_only=True)
class AddedColumn:
    name: str
    type: ColumnType
    photos: int
    """Photos that get a value."""
    distinct: int
    examples: tuple[str, ...]
    """Some values, as text."""
    was_known: bool
    """Whether the store has a column of this name, whose values are replaced for the photos that the file names."""


@dataclass(frozen=True, kw_only=True)
class ColumnsReport:
    """What a file adds to a store, or would add."""

    source: str
    key: str
    """`path`, `stem` or `image_id`."""
    key_column: str
    rows: int
    """Of the file."""
    photos: int
    """Photos that the file is about."""
    unmatched: int
    """Rows that fit no photo and are left out."""
    unmatched_examples: tuple[str, ...]
    columns: tuple[AddedColumn, ...]
    notes: tuple[str, ...]
    """Sentences on what was left out or had to be decided."""
    action: str | None = None
    """Id of the action that `undo` takes; None if nothing was added yet."""


@dataclass(frozen=True)
class ReadColumns:
    """A file that was read and checked, with what is to be kept of it."""

    report: ColumnsReport
    keys: pa.Table
    """`FILE_KEY` or `IMAGE_KEY`, one row per photo."""
    columns: tuple[tuple[str, ColumnType, pa.Array], ...]
    """(name, type, values), one value per row of `keys`."""


def add_columns(
    store: "Store | str | os.PathLike[str]",
    file: str | os.PathLike[str],
    *,
    key: str = "auto",
    key_column: str | None = None,
    dataset: str | None = None,
    columns: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    dates: str | None = None,
    decimal: str | None = None,
    missing: Sequence[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
    dry_run: bool = False,
) -> ColumnsReport:
    """Add the columns of a CSV or Parquet file to the photos of a store, as `column:<name>` of its table.

    A later file with a column of the same name replaces its values for the photos that the file names, gaps included;
    all others keep theirs. `python -m seglib columns undo` takes an addition back.

    Args:
        store: The store, or its folder.
        file: A file with a header and a row for each photo.
        key: How it names the photos: `path` within the dataset, `stem` (file name, with or without ending),
            `image_id`, or `auto`, which takes the only reading that fits.
        key_column: The column that names the photos; found if there is only one that can.
        dataset: Name or id of the dataset whose photos are meant, if several have the same paths.
        columns: The columns to add; all others of the file if empty.
        types: Name of a column -> integer, number, bool, date, category or text; the others are judged from all of
            their values.
        dates: `day-first`, `month-first`, or a format such as `%d.%m.%y`.
        decimal: `point` or `comma`.
        missing: Words that stand for no value, besides the empty text.
        separator: The character between two cells of a CSV file.
        encoding: The encoding of a CSV file that is not UTF-8.
        dry_run: Read and check the file without adding anything.

    Returns:
        How many photos the file is about, which rows fit none and are left out, and each column with its type.

    Raises:
        UsageError: The file cannot be read, fits no photo or fits two readings; the message says which and what to do.
        StoreError: There is no store, or another process is cleaning it up.

    Example:
        report = seglib.add_columns("output", "cameras.csv", key="path")
    """
    from seglib.store.store import as_store

    options = ColumnOptions(
        key=key,
        key_column=key_column,
        dataset=dataset,
        columns=tuple(columns),
        types=dict(types or {}),
        dates=dates,
        decimal=decimal,
        missing=tuple(missing),
        separator=separator,
        encoding=encoding,
    )
    opened = as_store(store)
    try:
        data = Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"The file {os.fspath(file)!r} cannot be read ({error.strerror}): name another one.") from None
    read = read_columns(opened, data, Path(file).name, options)
    return read.report if dry_run else keep_columns(opened, read)


def read_columns(store: "Store", data: bytes, source: str, options: ColumnOptions | None = None) -> ReadColumns:
    """Read the bytes of a file, called `source`, without adding anything. Raises `UsageError`."""
    options = options or ColumnOptions()
    return match_columns(store, read_raw(data, options), source, options)


def match_columns(store: "Store", raw: RawFile, source: str, options: ColumnOptions) -> ReadColumns:
    """Find the photos of a file that was read, and the types of its columns. Raises `UsageError`."""
    datasets = [store.dataset(options.dataset)] if options.dataset else store.datasets()
    index = PhotoIndex(store.present_files(datasets), {one.name: one.root for one in datasets})
    known = {one.name: one.type for one in log.list_columns(store)}
    _check_width(raw, index, options, known)
    found = find_photos(raw, index, options)
    names, notes = _choose_columns(raw, found, index, options)
    _check_number(names, known)
    judged, empty = judge_columns(raw, names, options, known)
    if empty:
        notes.append(f"Left out for having no values: {list_names(empty)}.")
    if not judged:
        raise UsageError("The file has no values to add: every column but the one that names the photos is empty.")
    positions, rows = _one_row_per_photo(raw, found, judged)
    taken = [(one.name, one.type, one.values.take(pa.array(rows))) for one in judged]
    notes += [note for one in judged for note in one.notes]
    report = ColumnsReport(
        source=clean_title(source),
        key=found.key,
        key_column=found.column,
        rows=raw.rows,
        photos=len(positions),
        unmatched=found.unmatched,
        unmatched_examples=found.examples if found.unmatched else (),
        columns=tuple(_describe(name, kind, values, name in known) for name, kind, values in taken),
        notes=(*raw.notes, *notes),
    )
    ids = {one.name: one.id for one in datasets}
    return ReadColumns(report, _key_table(index, ids, found.key, positions), tuple(taken))


def keep_columns(store: "Store", read: ReadColumns) -> ColumnsReport:
    """Add what was read. Raises `UsageError` if the columns of the store no longer allow that."""
    with lock(store.path):
        known = {one.name: one.type for one in log.list_columns(store)}
        names = [name for name, _, _ in read.columns]
        _check_number(names, known)
        for name, kind, _ in read.columns:
            if name in known and not _are_compatible(known[name], kind):
                raise UsageError(f"The column {name!r} has got another type meanwhile: read the file again.")
        key = "image_id" if read.report.key == "image_id" else "path"
        action = log.append_addition(store, read.keys, read.columns, key, read.report.source)
    return ColumnsReport(**{**vars(read.report), "action": action})


def _choose_columns(
    raw: RawFile, found: FoundPhotos, index: PhotoIndex, options: ColumnOptions
) -> tuple[list[str], list[str]]:
    """(the columns to add, sentences on those left out)."""
    others = [name for name in raw.columns if name != found.column]
    for name in (*options.columns, *options.types):
        if name not in others:
            raise UnknownName("column to add", name, others[:30])
    if options.columns:
        names = list(dict.fromkeys(options.columns))
        return names, _note_measured(names)
    skipped = [name for name in others if raw.is_export and (is_table_column(name) or name in MEASURES)]
    if DATASET_COLUMN in others and DATASET_COLUMN not in skipped and uses_dataset_column(raw, index):
        skipped.append(DATASET_COLUMN)
    names = [name for name in others if name not in skipped]
    if not names:
        raise UsageError("The file has no column to add besides those that the table has already.")
    notes = [f"Left out, since the table has them already: {list_names(skipped)}."] if skipped else []
    return names, [*notes, *_note_measured(names)]


def _note_measured(names: Sequence[str]) -> list[str]:
    """Say which columns stand in place of what the photos say themselves (EXIF).

    Raises `UsageError` for the name of a measure of the pixels or the file, which others rely on.
    """
    exif = {one.name for one in fields(PhotoExif)}
    for name in names:
        if name in MEASURES and name not in exif:
            raise UsageError(
                f"The column {name!r} is measured from the photos themselves: rename the one in the file, or name the "
                "others with `columns`."
            )
    replaced = [name for name in names if name in exif]
    return [f"In place of what the photos say themselves (EXIF): {list_names(replaced)}."] if replaced else []


def _check_width(raw: RawFile, index: PhotoIndex, options: ColumnOptions, known: Mapping[str, ColumnType]) -> None:
    """Refuse a file that has too many columns whichever of them names the photos, before looking for that one."""
    if options.columns or raw.is_export or not known.keys().isdisjoint(raw.columns):
        return
    used = DATASET_COLUMN in raw.columns and uses_dataset_column(raw, index)
    _check_number([*raw.columns][1 + used :], known)


def _check_number(names: Sequence[str], known: Mapping[str, ColumnType]) -> None:
    number = len({*names, *known})
    if number > MAX_COLUMNS:
        had = f", with the {len(known):,} that the store has" if known else ""
        raise UsageError(
            f"That would be {number:,} own columns{had}, and a store has at most {MAX_COLUMNS}: name those that you "
            "need with `columns`."
        )


def _are_compatible(known: ColumnType, added: ColumnType) -> bool:
    return log.unify_types((known, added)) is not ColumnType.TEXT or {known, added} <= {
        ColumnType.CATEGORY,
        ColumnType.TEXT,
    }


def _one_row_per_photo(
    raw: RawFile, found: FoundPhotos, columns: Sequence[TypedColumn]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(positions of the photos in their order, the row of the file about each). Raises `UsageError` if two rows about
    the same photo differ.
    """
    matched = np.flatnonzero(found.positions >= 0)
    rows = matched[np.argsort(found.positions[matched], kind="stable")]
    positions = found.positions[rows]
    is_first = np.append(True, positions[1:] != positions[:-1])[: len(rows)]
    if is_first.all():
        return positions, rows
    for column in columns:
        codes = _codes(column.values)[rows]
        differs = ~is_first & np.append(False, codes[1:] != codes[:-1])
        if differs.any():
            second = int(np.argmax(differs))
            name = raw.columns[found.column][int(rows[second])].as_py()
            numbers = f"{raw.row_number(int(rows[second - 1])):,} and {raw.row_number(int(rows[second])):,}"
            raise UsageError(
                f"The rows {numbers} are about the same photo, {name!r}, and give the column {column.name!r} different "
                "values: keep one of them."
            )
    return positions[is_first], rows[is_first]


def _codes(values: pa.Array) -> NDArray[np.int64]:
    """A number per value, equal for equal values; -1 for null."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _key_table(index: PhotoIndex, ids: Mapping[str, str], key: str, positions: NDArray[np.int64]) -> pa.Table:
    chosen = index.files.take(pa.array(positions))
    if key == "image_id":
        return chosen.select(["image_id"])
    names = chosen["dataset"].cast(pa.string()).combine_chunks().dictionary_encode()
    known = pa.array([ids[name] for name in names.dictionary.to_pylist()], pa.string())
    return pa.table({"dataset_id": known.take(names.indices), "path": chosen["path"]})


def _describe(name: str, kind: ColumnType, values: pa.Array, was_known: bool) -> AddedColumn:
    plain = values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values
    distinct = pc.unique(plain).drop_null()
    return AddedColumn(
        name=name,
        type=kind,
        photos=len(values) - values.null_count,
        distinct=len(distinct),
        examples=tuple(str(value)[:60] for value in distinct.slice(0, 3).to_pylist()),
        was_known=was_known,
    )
