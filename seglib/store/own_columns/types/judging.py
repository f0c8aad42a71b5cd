"""Find the type of each column of a file from all of its values, and convert them.

A type is taken only if every value has it; the rest is text. Whole numbers with leading zeros ("007") or beyond 2^53
are names, not quantities, hence text. A column that the store has already keeps its type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.errors import UsageError
from seglib.store.own_columns.options import ARROW_TYPES, DAY_ORDERS, TYPE_WORDS, ColumnOptions, ColumnType
from seglib.store.own_columns.reading import RawFile, encode_text
from seglib.store.own_columns.types import dates_in_text, numbers_in_text
from seglib.store.own_columns.types.distinct_texts import DistinctTexts, look_at
from seglib.store.own_columns.types.numbers_in_text import MOST_EXACT

MAX_CATEGORIES = 500
FEW_CATEGORIES = 20
"""So many distinct texts are categories in a file of any length; more only if each stands in two rows on average."""

MAX_CATEGORY_LENGTH = 200

_TRUTHS = {"true": True, "false": False}
_MORE_TRUTHS = _TRUTHS | {
    **{"1": True, "0": False, "yes": True, "no": False, "y": True, "n": False, "ja": True, "nein": False}
}
"""Also taken where the column is known to be true or false."""

_NEARLY = 0.9
"""If so many of a text's distinct values are numbers or dates, the report says which value is not."""

_TEXTUAL = (ColumnType.CATEGORY, ColumnType.TEXT)
_NUMERIC = (ColumnType.INTEGER, ColumnType.NUMBER)


@dataclass(frozen=True)
class TypedColumn:
    name: str
    type: ColumnType
    values: pa.Array
    """Of `ARROW_TYPES[type]`, one per row of the file."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    raw: RawFile
    options: ColumnOptions
    decimal: str


@dataclass(frozen=True)
class _Wish:
    """The type that a column must have: given by the user, or that of the store's column of this name."""

    type: ColumnType
    is_known: bool
    """Whether it is that of the store's column."""

    @property
    def is_textual(self) -> bool:
        return self.type in _TEXTUAL

    def refuse(self, file: _File, name: str, row: int, value: object) -> UsageError:
        what = f"{str(value)[:60]!r} in row {file.raw.row_number(row):,} of the column {name!r}"
        if self.is_known:
            return UsageError(
                f"The store's column {name!r} holds {TYPE_WORDS[self.type]}, which {what} does not fit: correct the "
                "file, remove the store's column first, or give this one another name."
            )
        return UsageError(
            f"{what[0].upper()}{what[1:]} does not fit {TYPE_WORDS[self.type]}: correct it, leave the cell empty, or "
            "give another `types`."
        )


def judge_columns(
    raw: RawFile, names: Sequence[str], options: ColumnOptions, known: Mapping[str, ColumnType]
) -> tuple[list[TypedColumn], list[str]]:
    """Type and convert these columns of the file; returns them, and the names of those left out without any value.

    `known`: the types of the store's columns, which columns of these names keep. Raises `UsageError`.
    """
    wishes = {name: _Wish(one, is_known=True) for name, one in known.items()} | {
        name: _Wish(ColumnType(one), is_known=False) for name, one in options.types.items()
    }
    texts = {
        name: look_at(name, raw.columns[name], options.missing)
        for name in names
        if pa.types.is_dictionary(raw.columns[name].type)
    }
    decimal = options.decimal or _find_decimal(raw, texts, wishes)
    file = _File(raw, options, decimal)
    columns, empty = [], []
    for name in names:
        if name in texts:
            column = _judge_text(file, texts[name], wishes.get(name))
        else:
            column = _judge_typed(file, name, raw.columns[name], wishes.get(name))
        if column is None:
            empty.append(name)
        else:
            columns.append(column)
    return columns, empty


def _find_decimal(raw: RawFile, texts: Mapping[str, DistinctTexts], wishes: Mapping[str, _Wish]) -> str:
    readings = {}
    for name, text in texts.items():
        is_candidate = wishes[name].type in _NUMERIC if name in wishes else not raw.is_typed
        if is_candidate and len(text.texts):
            reading = numbers_in_text.find_readings(text.texts)
            if reading.fits:
                readings[name] = reading
    return numbers_in_text.find_decimal(readings)


# --- text --------------------------------------------------------------------------------------------------------


def _judge_text(file: _File, column: DistinctTexts, wish: _Wish | None) -> TypedColumn | None:
    if wish is not None and wish.is_textual:
        return _as_text(file, column, wish)
    if not len(column.texts):
        return None if wish is None else _all_missing(file, column.name, wish)
    if wish is not None:
        return _convert(file, column, wish)
    if file.raw.is_typed:
        return _as_text(file, column, None)
    for judge in (_as_bool, _as_numbers, _as_dates):
        if (found := judge(file, column)) is not None:
            return found
    return _as_text(file, column, None)


def _convert(file: _File, column: DistinctTexts, wish: _Wish) -> TypedColumn:
    """Convert to the type that the column must have. Raises `UsageError` at the first value that does not fit."""
    bad = np.zeros(len(column.texts), bool)
    if wish.type is ColumnType.BOOL:
        found = _as_bool(file, column, _MORE_TRUTHS)
        bad = ~_are_in(column.texts, _MORE_TRUTHS)
    elif wish.type is ColumnType.DATE:
        found = _as_dates(file, column)
        bad = ~_are_dates(file, column.texts)
    else:
        found = _as_numbers(file, column)
        bad = ~numbers_in_text.is_number(column.texts, file.decimal)
        if not bad.any() and found is not None and found.type is ColumnType.NUMBER and not wish.is_known:
            numbers = numbers_in_text.parse_numbers(column.texts, file.decimal)
            bad = (numbers != np.round(numbers)) & (wish.type is ColumnType.INTEGER)
    if found is None or bad.any():
        row = column.first_row(bad if bad.any() else np.ones(len(bad), bool))
        raise wish.refuse(file, column.name, row, column.every[row].as_py())
    if wish.type in _NUMERIC and not wish.is_known:
        return TypedColumn(column.name, wish.type, found.values.cast(ARROW_TYPES[wish.type]), found.notes)
    return found


def _as_bool(_: _File, column: DistinctTexts, words: Mapping[str, bool] = _TRUTHS) -> TypedColumn | None:
    if not _are_in(column.texts, words).all():
        return None
    values = pa.array([words[text.lower()] for text in column.texts.to_pylist()], pa.bool_())
    return TypedColumn(column.name, ColumnType.BOOL, column.spread(values))


def _are_in(texts: pa.Array, words: Mapping[str, bool]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_in(pc.utf8_lower(texts), value_set=pa.array(list(words))).to_numpy(
        zero_copy_only=False
    )
    return found


def _as_numbers(file: _File, column: DistinctTexts) -> TypedColumn | None:
    are_numbers = numbers_in_text.is_number(column.texts, file.decimal)
    infinite = numbers_in_text.is_infinite(column.texts)
    if not (are_numbers | infinite).all() or not are_numbers.any():
        return None
    finite = column.texts.filter(pa.array(are_numbers))
    numbers = np.full(len(column.texts), np.inf)
    numbers[are_numbers] = numbers_in_text.parse_numbers(finite, file.decimal)
    if not np.isfinite(numbers).all():
        row = column.first_row(~np.isfinite(numbers))
        raise _infinite(file, column.name, row, column.every[row].as_py())
    notes: tuple[str, ...] = ()
    if file.decimal == "comma" and pc.any(pc.match_substring(column.texts, ",")).as_py():
        notes = (f"The commas in {column.name!r} are read as decimal commas.",)
    if not numbers_in_text.are_whole(column.texts, file.decimal):
        return TypedColumn(column.name, ColumnType.NUMBER, column.spread(pa.array(numbers)), notes)
    if (np.abs(numbers) >= MOST_EXACT).any():
        return None
    whole = pa.array(numbers.astype(np.int64))
    return TypedColumn(column.name, ColumnType.INTEGER, column.spread(whole), notes)


def _as_dates(file: _File, column: DistinctTexts) -> TypedColumn | None:
    if not _are_dates(file, column.texts).all():
        return None
    form = file.options.dates
    if form is not None and form not in DAY_ORDERS and _fits_format(column.texts, form).all():
        dates, zoned = dates_in_text.parse_format(column.texts, form)
    else:
        order = form if form in DAY_ORDERS else None
        dates, zoned = dates_in_text.parse_dates(column.name, column.texts, order)
    if np.isnat(dates).any():
        row = column.first_row(np.isnat(dates))
        raise UsageError(
            f"{column.every[row].as_py()!r} in row {file.raw.row_number(row):,} of the column {column.name!r} is no "
            "date of the calendar: correct it, leave the cell empty, or take the column as text with `types`."
        )
    notes = (f"The times in {column.name!r} are converted to UTC.",) if zoned else ()
    return TypedColumn(column.name, ColumnType.DATE, column.spread(pa.array(dates, pa.timestamp("us"))), notes)


def _are_dates(file: _File, texts: pa.Array) -> NDArray[np.bool_]:
    """bool per text: whether it is written like a date."""
    form = file.options.dates
    if form is not None and form not in DAY_ORDERS and (fits := _fits_format(texts, form)).any():
        return fits
    are_dates: NDArray[np.bool_] = np.zeros(len(texts), bool)
    for matches in dates_in_text.find_styles(texts).values():
        are_dates |= matches
    return are_dates


def _fits_format(texts: pa.Array, form: str) -> NDArray[np.bool_]:
    return ~np.isnat(dates_in_text.parse_format(texts, form)[0])


def _as_text(file: _File, column: DistinctTexts, wish: _Wish | None) -> TypedColumn | None:
    distinct, filled = len(column.every.dictionary), len(column.every) - column.every.null_count
    if wish is None and not distinct:
        return None
    is_short = pc.max(pc.utf8_length(column.every.dictionary)).as_py() or 0
    can_be_category = distinct <= MAX_CATEGORIES and is_short <= MAX_CATEGORY_LENGTH
    if wish is None:
        few = distinct <= FEW_CATEGORIES or 2 * distinct <= filled
        kind = ColumnType.CATEGORY if can_be_category and few else ColumnType.TEXT
    elif wish.type is ColumnType.CATEGORY and not can_be_category and not wish.is_known:
        raise UsageError(
            f"The column {column.name!r} has {distinct:,} different texts, of up to {is_short:,} characters, and "
            f"categories are at most {MAX_CATEGORIES} of up to {MAX_CATEGORY_LENGTH}: take it as text."
        )
    else:
        kind = wish.type if can_be_category else ColumnType.TEXT
    notes = _explain_text(file, column) if wish is None and not file.raw.is_typed else ()
    return TypedColumn(column.name, kind, column.every.cast(ARROW_TYPES[kind]), notes)


def _explain_text(file: _File, column: DistinctTexts) -> tuple[str, ...]:
    """Say what keeps nearly all numbers or dates from being that, and which words may have meant a gap."""
    for what, fits in (
        ("numbers", numbers_in_text.is_number(column.texts, file.decimal)),
        ("dates", _are_dates(file, column.texts)),
    ):
        if len(fits) and _NEARLY <= fits.mean() < 1:
            row = column.first_row(~fits)
            return (
                f"{column.name!r} is text, since {column.every[row].as_py()[:60]!r} in row "
                f"{file.raw.row_number(row):,} is none of the {what} that most of its values are.",
            )
    if column.gap_words:
        word = column.gap_words[0]
        return (f"{word!r} is a text in {column.name!r}: name it as `missing` if it stands for no value.",)
    return ()


# --- values that have a type -------------------------------------------------------------------------------------


def _judge_typed(file: _File, name: str, values: pa.Array, wish: _Wish | None) -> TypedColumn | None:
    column = None if values.null_count == len(values) else _convert_typed(file, name, values)
    if column is None or column.values.null_count == len(values):
        return None if wish is None else _all_missing(file, name, wish)
    if wish is None or wish.type is column.type:
        return column
    if wish.is_textual:
        text = look_at(name, encode_text(column.values.cast(pa.string())), ())
        return _as_text(file, text, wish)
    if wish.type in _NUMERIC and column.type in _NUMERIC and (wish.is_known or wish.type is ColumnType.NUMBER):
        return column if wish.is_known else TypedColumn(name, wish.type, column.values.cast(pa.float64()))
    numbers = column.values
    if wish.type is ColumnType.INTEGER and column.type is ColumnType.NUMBER:
        bad = pc.not_equal(numbers, pc.round(numbers))
    elif wish.type is ColumnType.BOOL and column.type is ColumnType.INTEGER:
        bad = pc.invert(pc.is_in(numbers, value_set=pa.array([0, 1, None], pa.int64())))
    else:
        bad = pc.is_valid(numbers)
    if pc.any(bad).as_py():
        row = int(pc.index(bad, True).as_py())
        raise wish.refuse(file, name, row, numbers[row].as_py())
    return TypedColumn(name, wish.type, numbers.cast(ARROW_TYPES[wish.type]))


def _convert_typed(file: _File, name: str, values: pa.Array) -> TypedColumn:
    """The type of values from Parquet."""
    types, kind = pa.types, values.type
    if types.is_boolean(kind):
        return TypedColumn(name, ColumnType.BOOL, values)
    if types.is_timestamp(kind) or types.is_date(kind):
        zoned = types.is_timestamp(kind) and kind.tz is not None
        notes = (f"The times in {name!r} are converted to UTC.",) if zoned else ()
        stamps = values.cast(pa.timestamp("us", "UTC" if zoned else None), safe=False).cast(pa.timestamp("us"))
        return TypedColumn(name, ColumnType.DATE, stamps, notes)
    if types.is_integer(kind):
        ends = pc.min_max(values).as_py()
        if ends["min"] > -MOST_EXACT and ends["max"] < MOST_EXACT:
            return TypedColumn(name, ColumnType.INTEGER, values.cast(pa.int64()))
        found = _as_text(file, look_at(name, encode_text(values.cast(pa.string())), ()), None)
        assert found is not None  # it has values
        return found
    numbers = values.cast(pa.float64(), safe=False)
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if pc.any(pc.is_inf(numbers)).as_py():
        row = int(pc.index(pc.is_inf(numbers), True).as_py())
        raise _infinite(file, name, row, numbers[row].as_py())
    return TypedColumn(name, ColumnType.NUMBER, numbers)


def _all_missing(file: _File, name: str, wish: _Wish) -> TypedColumn:
    return TypedColumn(name, wish.type, pa.nulls(file.raw.rows, ARROW_TYPES[wish.type]))


def _infinite(file: _File, name: str, row: int, value: object) -> UsageError:
    return UsageError(
        f"The column {name!r} has an infinite number ({str(value)[:60]!r} in row {file.raw.row_number(row):,}): leave "
        "the cell empty, or take the column as text with `types`."
    )
