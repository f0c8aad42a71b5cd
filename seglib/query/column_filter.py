"""Filter by an own column of any kind: `column.camera=Canon&column.camera=Nikon`, `column.iso=100..400`,
`column.taken=2024-01-01..2024-03-31`, `column.note=blurred`.

A link or a `--where` does not say which kind a column has, so the texts are kept as they are, and read by the kind of
the column when the filter is applied.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.errors import FilterError, shorten
from seglib.query.columns import category_codes, to_float64
from seglib.query.fields import Kind, column_kind, find_field
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import NO_ROW, Condition, compare, contains_text, is_in, is_missing

_TRUE, _FALSE = "true", "false"


@dataclass(frozen=True)
class Range:
    """A range of numbers, or of dates as microseconds since 1970."""

    low: float
    high: float
    """Included, unless `below` is set."""
    below: bool = False

    def contains(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """bool: whether each value lies in the range; False for NaN."""
        under: NDArray[np.bool_] = values < self.high if self.below else values <= self.high
        return under & (values >= self.low)

    def condition(self, column: str) -> Condition:
        """The same for a column of float64 in SQL."""
        return compare(column, "<" if self.below else "<=", self.high) & compare(column, ">=", self.low)


def match_column(values: pd.Series, texts: tuple[str, ...], key: str) -> NDArray[np.bool_]:
    """bool (rows,): whether each value of an own column passes the filter `key` with these texts.

    The empty text matches rows without a value, alone or beside other names. Raises `FilterError` for a text that is
    none of the column's kind.
    """
    kind = column_kind(values)
    missing = values.isna().to_numpy() if "" in texts else np.zeros(len(values), bool)
    wanted = [text for text in texts if text]
    if not wanted:
        return missing
    if kind in (Kind.CATEGORY, Kind.BOOLEAN):
        codes, names = category_codes(values)
        if kind is Kind.BOOLEAN:
            wanted, names = [_parse_boolean(text, key) for text in wanted], [name.lower() for name in names]
        chosen: NDArray[np.bool_] = np.array([*(name in wanted for name in names), False])
        passes: NDArray[np.bool_] = chosen[codes] | missing
        return passes
    if kind is Kind.TEXT:
        part = _single(wanted, key)
        contains = values.astype("str").fillna("").str.contains(part, case=False, regex=False)
        hits: NDArray[np.bool_] = contains.to_numpy(bool)
        return hits | missing
    return parse_range(_single(wanted, key), kind, key).contains(as_numbers(values)) | missing


def column_condition(columns: SqlColumns, texts: tuple[str, ...], key: str) -> Condition:
    """The same for a prepared table."""
    kind, value = find_field(columns.head, key).kind, columns.value(key)
    wanted = [text for text in texts if text]
    passes = NO_ROW
    if wanted and kind is Kind.BOOLEAN:
        passes = is_in(value, {_parse_boolean(text, key) == _TRUE for text in wanted})
    elif wanted and kind is Kind.CATEGORY:
        passes = is_in(value, wanted)
    elif wanted and kind is Kind.TEXT:
        passes = contains_text(value, _single(wanted, key))
    elif wanted:
        passes = parse_range(_single(wanted, key), kind, key).condition(columns.number(key))
    return passes | is_missing(value) if "" in texts else passes


def as_numbers(values: pd.Series) -> NDArray[np.float64]:
    """float64 of numbers, as `to_float64` gives them, or of dates as microseconds since 1970; NaN for null."""
    if column_kind(values) is Kind.DATE:
        stamps = values.to_numpy("datetime64[us]")
        return np.where(np.isnat(stamps), math.nan, stamps.astype(np.int64).astype(np.float64))
    return to_float64(values)


def parse_range(text: str, kind: Kind, key: str) -> Range:
    """`100..400`, `100..`, `..400`, `100..<400`, or a single value; dates as `2024-01-31` or `2024-01-31T12:00`.

    A date without a time as upper end includes its whole day. Raises `FilterError`.
    """
    low_text, dots, high_text = text.partition("..")
    below = high_text.startswith("<")
    high_text = high_text.removeprefix("<")
    try:
        if kind is Kind.DATE:
            low = _microseconds(low_text) if low_text else -math.inf
            high = _microseconds(high_text or low_text) if high_text or not dots else math.inf
            if not below and _is_whole_day(high_text or ("" if dots else low_text)):
                high, below = high + 86_400_000_000, True
        else:
            low = float(low_text) if low_text else -math.inf
            high = (float(high_text) if high_text else math.inf) if dots else low
        if math.isnan(low) or math.isnan(high) or (below and not high_text and kind is not Kind.DATE) or text == "..":
            raise ValueError(text)
    except ValueError:
        example = "2024-01-01..2024-03-31" if kind is Kind.DATE else "100..400"
        what = "dates" if kind is Kind.DATE else "numbers"
        raise FilterError(f"{key} is a range of {what} such as {example}, not {shorten(text)!r}.") from None
    if low > high:
        raise FilterError(f"{key} is a range from the smaller to the larger value, not {shorten(text)!r}.")
    return Range(low, high, below)


def _microseconds(text: str) -> float:
    stamp = pd.Timestamp(text)
    if pd.isna(stamp) or stamp.tz is not None or not text[:4].isdigit():
        raise ValueError(text)
    return float(stamp.to_datetime64().astype("datetime64[us]").astype(np.int64))


def _is_whole_day(text: str) -> bool:
    return bool(text) and "T" not in text and ":" not in text


def _parse_boolean(text: str, key: str) -> str:
    lowered = text.lower()
    if lowered not in (_TRUE, _FALSE):
        raise FilterError(f"{key} is {_TRUE} or {_FALSE}, not {shorten(text)!r}.")
    return lowered


def _single(texts: list[str], key: str) -> str:
    if len(texts) > 1:
        raise FilterError(f"{key} takes a single text or range, not {len(texts)}: {shorten(', '.join(texts))}.")
    return texts[0]
