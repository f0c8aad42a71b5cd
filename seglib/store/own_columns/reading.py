"""Read a CSV or Parquet file of columns: its names and its values, as text or typed, without judging them.

Everything in the file is untrusted. What is damaged or fits two readings raises `UsageError`.
"""

import codecs
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from seglib.errors import UsageError
from seglib.store.own_columns.options import ColumnOptions
from seglib.store.records import clean_title
from seglib.store.schemas import COLUMN_PREFIX, PRESENT_FILES_SCHEMA, STAMPS_SCHEMA

MAX_ROWS = 10_000_000
MAX_FILE_COLUMNS = 20_000
"""Columns that a file may have, of which a store takes `adding.MAX_COLUMNS`."""

MAX_CELLS = 100_000_000
"""A Parquet file of a few bytes may hold as many."""

MAX_NAME_LENGTH = 100

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark begins it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PARQUET, _ZIP = b"PAR1", b"PK\x03\x04"
_BLOCK_BYTES = 1 << 26
_OWN_EXPORT = {"image_id", "run", "grid_width"}
"""Columns that only an export of this program has together."""

_TABLE_COLUMNS = {
    *PRESENT_FILES_SCHEMA.names,
    *STAMPS_SCHEMA.names,
    *("run", "model", "grid_width", "grid_height", "confidence", "entropy", "low_margin", "dominant", "animal"),
    *("content", "label_class", "tags"),
}
_TABLE_PREFIXES = ("px:", "blobs:", "share:")


@dataclass(frozen=True)
class RawFile:
    """The content of a file of columns."""

    columns: dict[str, pa.Array]
    """Name -> values: dictionary<int32, string> of text without surrounding white space, null where empty; or, from
    Parquet, the type that the file gives.
    """
    rows: int
    is_typed: bool
    """Whether the file itself gives the types, as Parquet does."""
    notes: tuple[str, ...]
    """Sentences on what was left out."""
    is_export: bool = False
    """Whether this is an export of this program, in which the table's own columns come back."""

    def row_number(self, position: int) -> int:
        """How people count the row at this position: the header of a CSV file is row 1."""
        return position + (1 if self.is_typed else 2)


def read_raw(data: bytes, options: ColumnOptions) -> RawFile:
    """Read the bytes of a CSV or Parquet file. Raises `UsageError`."""
    if not data.strip():
        raise UsageError("The file is empty: expected a CSV or Parquet file with a row for each photo.")
    if data.startswith(_ZIP):
        raise UsageError("The file is a workbook or a zip archive: save the sheet as CSV (UTF-8), or as Parquet.")
    is_typed = data.startswith(_PARQUET)
    names, columns, rows = _read_parquet(data) if is_typed else _read_csv(data, options)
    if not rows:
        raise UsageError("The file has a header and no rows: expected a row for each photo.")
    return _name_columns(names, columns, rows, is_typed=is_typed)


def clean_name(text: str) -> str:
    """A column's name in NFC with single spaces. Raises `UsageError` if a column cannot be called so."""
    name = " ".join(part for part in unicodedata.normalize("NFC", text).split(" ") if part).removeprefix(COLUMN_PREFIX)
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(
            f"A column's name has at most {MAX_NAME_LENGTH} characters, and {name[:30] + '…'!r} has {len(name):,}: "
            "shorten it."
        )
    if name != clean_title(name):
        raise UsageError(
            f"The name of the column {name!r} has a line break or a control character: give it another name."
        )
    return name


def encode_text(values: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """dictionary<int32, string>: texts in NFC without surrounding white space; null where nothing is left."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    texts = pc.utf8_normalize(pc.utf8_trim_whitespace(values.dictionary.cast(pa.string())), form="NFC")
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts).dictionary_encode()
    return pa.DictionaryArray.from_arrays(texts.indices.take(values.indices.cast(pa.int32())), texts.dictionary)


def _name_columns(names: list[str], columns: list[pa.Array], rows: int, *, is_typed: bool) -> RawFile:
    """Leave out what cannot be a column, saying so."""
    notes = []
    is_export = set(names) >= _OWN_EXPORT
    kept: dict[str, pa.Array] = {}
    unnamed = 0
    nested = []
    for raw_name, values in zip(names, columns, strict=True):
        name = clean_name(raw_name)
        if not name or name.startswith("__index_level_"):
            unnamed += 1
        elif values is None:
            nested.append(name)
        elif name in kept:
            raise UsageError(f"The file has two columns {name!r}: rename or remove one of them.")
        else:
            kept[name] = _unescape_formulas(values) if is_export and not is_typed else values
    if unnamed:
        notes.append(f"{_count_columns(unnamed)} without a name left out.")
    if nested:
        notes.append(f"Left out: {list_names(nested)}, whose values are lists or other structures.")
    return RawFile(kept, rows, is_typed, tuple(notes), is_export)


def _unescape_formulas(values: pa.DictionaryArray) -> pa.DictionaryArray:
    """Take off the quote that an export puts before text that a spreadsheet would run."""
    texts = pc.replace_substring_regex(values.dictionary, r"^'([=+\-@\t\r])", r"\1")
    return pa.DictionaryArray.from_arrays(values.indices, texts)


def is_table_column(name: str) -> bool:
    """Whether an export has a column of this name without any own columns."""
    return name in _TABLE_COLUMNS or name.startswith(_TABLE_PREFIXES)


# --- CSV ---------------------------------------------------------------------------------------------------------


def _read_csv(data: bytes, options: ColumnOptions) -> tuple[list[str], list[pa.Array], int]:
    """(names, values, number of rows)."""
    text = _to_utf8(data, options.encoding)
    table = _parse_csv(text, options.separator) if options.separator else _find_separator(text)
    if table.num_columns > MAX_FILE_COLUMNS:
        raise UsageError(
            f"The file has {table.num_columns:,} columns, and at most {MAX_FILE_COLUMNS:,} are read: leave out some."
        )
    if len(table) - 1 > MAX_ROWS:
        raise UsageError(f"The file has more than {MAX_ROWS:,} rows: split it.")
    header = [column[0].as_py() for column in table.columns]
    rows = table.slice(1)
    _refuse_open_quote(text, rows)
    return header, [encode_text(column) for column in rows.columns], len(rows)


def _to_utf8(data: bytes, encoding: str | None) -> bytes:
    """The text in UTF-8 without a byte order mark, ending in a line break."""
    found = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    encoding = found or encoding or "utf-8"
    try:
        codec = codecs.lookup(encoding)
        if not codec._is_text_encoding:  # of Python's own codecs, some turn bytes into bytes
            raise LookupError
        text = data.decode(encoding)
    except LookupError:
        raise UsageError(f"There is no encoding {encoding!r}: name one such as utf-8, cp1252 or latin-1.") from None
    except UnicodeError as error:
        place = f" (byte 0x{data[error.start]:02x} at {error.start:,})" if isinstance(error, UnicodeDecodeError) else ""
        raise UsageError(
            f"The file is not text in {encoding.removesuffix('-sig').upper()}{place}: save it as CSV UTF-8, or name "
            "its `encoding`, which is cp1252 for most older files from Windows."
        ) from None
    if "\0" in text:
        raise UsageError(
            "The file holds NUL characters, as no CSV file does: save it as CSV UTF-8, or name its `encoding`."
        )
    return text.encode("utf-8", "replace") + b"\n"


def _find_separator(text: bytes) -> pa.Table:
    """Parse with the separator that gives every row the same number of cells, two at least."""
    readings: dict[str, pa.Table] = {}
    problems: dict[str, UsageError] = {}
    for separator in SEPARATORS:
        if separator.encode() not in text.partition(b"\n")[0]:
            continue
        try:
            readings[separator] = _parse_csv(text, separator)
        except UsageError as error:
            problems[separator] = error
    if len(readings) == 1:
        return next(iter(readings.values()))
    if readings:
        raise UsageError(
            f"The cells of the file could be separated by {list_names(SEPARATORS[one] for one in readings)}, and every "
            "row fits both: say which with `separator`."
        )
    if problems:
        raise next(iter(problems.values()))
    raise UsageError(
        "The first line holds no comma, semicolon or tab: expected a header that names at least two columns, one of "
        "them for the photos."
    )


def _parse_csv(text: bytes, separator: str) -> pa.Table:
    """All rows, the header included, as strings in columns named f0, f1, ..."""
    bad_rows: list[pacsv.InvalidRow] = []

    def keep_bad_row(row: pacsv.InvalidRow) -> str:
        bad_rows.append(row)
        return "error"

    try:
        return pacsv.read_csv(
            pa.BufferReader(text),
            read_options=pacsv.ReadOptions(
                autogenerate_column_names=True,
                use_threads=False,  # otherwise no row number
                block_size=min(len(text) + 1, _BLOCK_BYTES),
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=keep_bad_row
            ),
            convert_options=pacsv.ConvertOptions(default_column_type=pa.string(), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        if not bad_rows:
            raise UsageError(f"The file cannot be read as CSV ({str(error).splitlines()[0][:200]}).") from None
        row = bad_rows[0]
        raise UsageError(
            f"Row {row.number} of the file has another number of cells than the header, {row.actual_columns:,} instead "
            f"of {row.expected_columns:,} "
            f"({row.text[:60]!r}): a cell that holds {SEPARATORS.get(separator, repr(separator))} must be in "
            "quotation marks."
        ) from None


def _refuse_open_quote(text: bytes, rows: pa.Table) -> None:
    """A quotation mark that is never closed makes one cell of all that follows."""
    if text.count(b'"') % 2 == 0 or not len(rows):
        return
    for column in rows.columns:
        if pc.any(pc.match_substring(column, "\n")).as_py():
            raise UsageError('A quotation mark in the file is never closed: close it, or write "" for one in a text.')


# --- Parquet -----------------------------------------------------------------------------------------------------


def _read_parquet(data: bytes) -> tuple[list[str], list[pa.Array | None], int]:
    """(names, values; None where the type cannot be a column; number of rows).

    Text is read as dictionaries, so that a small file cannot become a huge table.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        _check_size(schema, rows)
        texts = [field.name for field in schema if _is_text(field.type)]
        wanted = [field.name for field in schema if _is_simple(field.type)]
        with pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts) as file:
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise UsageError(f"The Parquet file cannot be read ({(str(error).splitlines() or [''])[0][:200]}).") from None
    columns = {name: _simplify(table[name]) for name in wanted}
    return schema.names, [columns.get(name) for name in schema.names], rows


def _check_size(schema: pa.Schema, rows: int) -> None:
    repeated = [name for name, number in Counter(schema.names).items() if number > 1]
    if repeated:
        raise UsageError(f"The file has two columns {repeated[0]!r}: rename or remove one of them.")
    if len(schema) > MAX_FILE_COLUMNS:
        raise UsageError(
            f"The file has {len(schema):,} columns, and at most {MAX_FILE_COLUMNS:,} are read: leave out some."
        )
    if rows > MAX_ROWS or rows * len(schema) > MAX_CELLS:
        raise UsageError(
            f"The file has {rows:,} rows and {len(schema):,} columns, and at most {MAX_ROWS:,} rows and {MAX_CELLS:,} "
            "cells are read: split it."
        )


def _simplify(column: pa.ChunkedArray) -> pa.Array:
    """Text as `encode_text` returns it, anything else as a plain array."""
    if pa.types.is_dictionary(column.type) and not _is_text(column.type.value_type):
        column = column.cast(column.type.value_type)
    if _is_text(column.type) or pa.types.is_dictionary(column.type):
        column = column if pa.types.is_dictionary(column.type) else column.cast(pa.string())
        return encode_text(column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column)
    return column.combine_chunks()


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_simple(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_simple(kind.value_type)
    return _is_text(kind) or any(
        check(kind)
        for check in (
            types.is_integer,
            types.is_floating,
            types.is_decimal,
            types.is_boolean,
            types.is_timestamp,
            types.is_date,
        )
    )


def list_names(names: Iterable[str], most: int = 5) -> str:
    """`a, b and c`; beyond `most` names, how many more there are."""
    every = list(names)
    shown = every if len(every) <= most else [*every[:most], f"{len(every) - most:,} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _count_columns(number: int) -> str:
    return "A column" if number == 1 else f"{number:,} columns"
