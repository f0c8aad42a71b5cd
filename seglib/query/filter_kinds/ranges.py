"""Filters by ranges of shares, measures and counts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from seglib.errors import FilterError, shorten
from seglib.query.columns import class_blobs, class_share, to_float64
from seglib.query.filter_kinds.base import Filter, FilterValue
from seglib.query.filter_text import (
    MAX_COUNT,
    format_number,
    format_upper_end,
    next_below,
    parse_whole_number,
)
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import Condition, compare


class UnitRangeFilter(Filter):
    """Range within 0..1 that includes both ends: `0.1..0.9`, `0.1..`, `..0.9`. Rows without a value do not match.

    `0.1..<0.2` excludes 0.2, so that adjacent bins share no row: the upper end becomes the next smaller float.
    """

    def decode(self, texts: list[str]) -> tuple[float, float]:
        low_text, dots, high_text = texts[-1].partition("..")
        try:
            low, high = float(low_text or 0), float(high_text.removeprefix("<") or 1)
        except ValueError:
            low, high = math.nan, math.nan
        if high_text.startswith("<"):
            high = next_below(high)
        if not dots or not (0 <= low <= 1 and 0 <= high <= 1):
            raise FilterError(f"{self.key} is a range within 0..1 such as 0.1..0.9, not {shorten(texts[-1])!r}.")
        return min(low, high), max(low, high)

    def encode(self, value: FilterValue) -> list[str]:
        low, high = (float(end) for end in value)
        return [f"{format_number(low)}..{format_upper_end(high)}"]


@dataclass(frozen=True)
class ClassShareFilter(UnitRangeFilter):
    """Range of the share of one class: `share.cat=0.1..1`."""

    suffix: ClassVar[str] = "class"

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(class_share(table, name), value)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return _lies_in(columns.share(name), value)


@dataclass(frozen=True)
class RangeFilter(UnitRangeFilter):
    """Range of a column with values 0..1."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(self.column(table), value)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return _lies_in(columns.number(self.key), value)


class CountRangeFilter(Filter):
    """Integer range that includes both ends: `1..3`, `2..`, `..3`, `2`. Rows without a value do not match."""

    def decode(self, texts: list[str]) -> tuple[int, int]:
        low_text, dots, high_text = texts[-1].partition("..")
        try:
            low = parse_whole_number(low_text or "0" * len(dots))
            high = parse_whole_number(high_text or str(MAX_COUNT)) if dots else low
        except ValueError:
            raise FilterError(
                f"{self.key} is a range of whole numbers such as 1..3, 2.. or 2, not {shorten(texts[-1])!r}."
            ) from None
        return min(low, high), max(low, high)

    def encode(self, value: FilterValue) -> list[str]:
        low, high = (int(end) for end in value)
        return [str(low) if low == high else f"{low or ''}..{'' if high == MAX_COUNT else high}"]


@dataclass(frozen=True)
class CountFilter(CountRangeFilter):
    """Range of an integer column."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(self.column(table), value)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return _lies_in(columns.number(self.key), value)


@dataclass(frozen=True)
class ClassBlobsFilter(CountRangeFilter):
    """Range of the number of connected regions of one class: `blobs.cat=2..`."""

    suffix: ClassVar[str] = "class"

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(class_blobs(table, name), value)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return _lies_in(columns.blobs(name), value)


def _in_range(column: pd.Series, value: tuple[float, float]) -> pd.Series:
    """bool per row: whether the value is in the range; False for null."""
    numbers = to_float64(column)
    return pd.Series((numbers >= value[0]) & (numbers <= value[1]), column.index)


def _lies_in(column: str, value: tuple[float, float]) -> Condition:
    """The same for a column of numbers in SQL."""
    return compare(column, ">=", value[0]) & compare(column, "<=", value[1])
