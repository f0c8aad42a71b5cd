"""Divide the values of a field into the groups of an axis: bins of round widths, or the most frequent names.

Every group carries the filter that selects its rows, as text; a row belongs to the group whose filter it passes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.query.column_filter import as_numbers
from seglib.query.columns import category_codes
from seglib.query.fields import Field, Kind
from seglib.query.filter_kinds.ranges import CountRangeFilter, UnitRangeFilter
from seglib.query.filter_text import next_below
from seglib.query.filters import Filters, find_filter

NUMERIC = (Kind.NUMBER, Kind.INTEGER, Kind.DATE)
GROUPED = (Kind.CATEGORY, Kind.BOOLEAN)

OTHER = "other"
"""Label of the group of all names beyond the most frequent ones; it has no filter."""

_MOST_COUNT = 10**9
_DAY_US = 86_400_000_000
_MONDAY = 4
"""The first Monday since 1970-01-01, in days."""
_FIXED_STEPS_US = tuple(
    seconds * 1_000_000
    for seconds in (1, 5, 15, 30, *(60 * n for n in (1, 5, 15, 30)), *(3600 * n for n in (1, 3, 6, 12)))
)
_MONTH_STEPS = (1, 3, 6, *(12 * years for years in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)))


@dataclass(frozen=True)
class Group:
    label: str
    """The name, empty for rows without a value; or the bin's bounds as texts with `..` between them."""
    filter: str
    """Selects the rows of the group; empty if no filter does."""
    low: float = math.nan
    """Lower bound of a bin, included; dates as microseconds since 1970."""
    high: float = math.nan
    """Upper bound of a bin, not included, except that of a range that ends at 1."""


@dataclass(frozen=True)
class Axis:
    field: Field
    groups: tuple[Group, ...]
    codes: NDArray[np.int32]
    """(rows,): the group of each row; -1 without a value."""
    merged: int = 0
    """Number of names in the group `OTHER`, which is then the last."""

    @property
    def is_numeric(self) -> bool:
        return self.field.kind in NUMERIC


def make_axis(field: Field, values: pd.Series, *, bins: int, groups: int) -> Axis:
    """Divide numbers and dates into at most about `bins` bins, names into at most `groups` and `OTHER`."""
    return bin_values(field, values, bins) if field.kind in NUMERIC else group_names(field, values, groups)


# --- names -------------------------------------------------------------------------------------------------------


def group_names(field: Field, values: pd.Series, most: int) -> Axis:
    """One group per name of a category or a boolean, alphabetical; rows without a value are a group of their own.

    If there are more than `most`, the least frequent are merged into `OTHER`.
    """
    codes, names = category_codes(values)
    if field.kind is Kind.BOOLEAN:
        names = [name.lower() for name in names]
    counts = np.bincount(codes.astype(np.intp) + 1, minlength=len(names) + 1)  # the first is of rows without a value
    used = np.flatnonzero(counts)
    kept = used if len(used) <= most else used[np.argsort(-counts[used], kind="stable")[: most - 1]]
    labels = ["", *names]
    order = sorted(kept.tolist(), key=lambda place: (place == 0, labels[place]))
    place_of = np.full(len(labels), len(order) if len(kept) < len(used) else -1, np.int32)
    place_of[order] = np.arange(len(order), dtype=np.int32)
    groups = [Group(labels[place], Filters({field.name: (labels[place],)}).encode()) for place in order]
    merged = len(used) - len(kept)
    if merged:
        groups.append(Group(OTHER, ""))
    return Axis(field, tuple(groups), place_of[codes.astype(np.intp) + 1], merged)


# --- numbers and dates -------------------------------------------------------------------------------------------


def bin_values(field: Field, values: pd.Series, most: int) -> Axis:
    """Bins of a round width, from the least to the largest value, empty ones included; NaN has no bin."""
    numbers = as_numbers(values)
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return Axis(field, (), np.full(len(numbers), -1, np.int32))
    edges = make_edges(field, float(known.min()), float(known.max()), most)
    codes = np.searchsorted(edges, numbers, side="right").astype(np.int32) - 1
    if _ends_at_one(field, edges):
        codes[numbers == 1] = len(edges) - 2
    codes[~np.isfinite(numbers)] = -1
    groups = [_make_bin(field, low, high) for low, high in pairwise(edges.tolist())]
    return Axis(field, tuple(groups), codes)


def make_edges(field: Field, low: float, high: float, most: int) -> NDArray[np.float64]:
    """Round bin edges: the first is at most `low`, the last above `high`, or 1 for values within 0..1."""
    if field.kind is Kind.DATE:
        return _date_edges(low, high, most)
    step = round_step((high - low) / most, whole=field.kind is Kind.INTEGER)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    edges = np.round(np.arange(first, last + 1) * step, max(0, 1 - math.floor(math.log10(step))))
    if _is_unit(field):
        edges = edges[edges < 1 + step / 2]
        edges = edges if len(edges) > 1 else np.array([edges[0] - step, edges[0]]).round(10)
    return edges


def round_step(least: float, *, whole: bool = False) -> float:
    """The smallest of ... 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is at least `least`; at least 1 if `whole`."""
    if not least > 0:
        return 1.0 if whole else 0.1
    power = 10.0 ** math.floor(math.log10(least))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least * (1 - 1e-9))
    return max(step, 1.0) if whole else step


def _date_edges(low: float, high: float, most: int) -> NDArray[np.float64]:
    for edges in _date_candidates(low, high, most):
        if len(edges) - 1 <= most:
            return edges
    return np.array([low, high + 1])


def _date_candidates(low: float, high: float, most: int) -> Iterator[NDArray[np.float64]]:
    """Edges of ever longer steps: seconds to hours, a day, a week, months, years."""
    for step, offset in (*((step, 0) for step in _FIXED_STEPS_US), (_DAY_US, 0), (7 * _DAY_US, _MONDAY * _DAY_US)):
        if (high - low) / step < most:
            first = math.floor((low - offset) / step)
            yield np.arange(first, math.floor((high - offset) / step) + 2, dtype=np.float64) * step + offset
    ends = np.array([low, high]).astype(np.int64).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    for months in _MONTH_STEPS:
        first, last = ends[0] // months * months, ends[1] // months * months + months
        if (last - first) // months <= most:
            edges = np.arange(first, last + 1, months).astype("datetime64[M]").astype("datetime64[us]")
            yield edges.astype(np.int64).astype(np.float64)


def _is_unit(field: Field) -> bool:
    return isinstance(find_filter(field.name)[0], UnitRangeFilter)


def _ends_at_one(field: Field, edges: NDArray[np.float64]) -> bool:
    return _is_unit(field) and bool(edges[-1] == 1)


def _make_bin(field: Field, low: float, high: float) -> Group:
    texts = [format_value(field, bound) for bound in (low, high)]
    return Group("..".join(texts), range_filter(field, low, high, below=True), float(low), float(high))


def range_filter(field: Field, low: float, high: float, *, below: bool = False) -> str:
    """The filter of a numeric field from `low` to `high`; if `below`, without `high` (except the 1 of values 0..1)."""
    entry = find_filter(field.name)[0]
    if isinstance(entry, UnitRangeFilter):
        low, high = max(low, 0.0), min(high, 1.0)
        return Filters({field.name: (low, next_below(high) if below and high < 1 else high)}).encode()
    if isinstance(entry, CountRangeFilter):
        first, last = math.ceil(low), math.ceil(high) - 1 if below else math.floor(high)
        return Filters({field.name: (max(first, 0), min(max(last, 0), _MOST_COUNT))}).encode()
    sign = "<" if below else ""
    return Filters({field.name: (f"{format_value(field, low)}..{sign}{format_value(field, high)}",)}).encode()


def format_value(field: Field, value: float) -> str:
    """A number or a date as in filters: `0.25`, `400`, `2024-01-31`, `2024-01-31T12:30`."""
    if field.kind is not Kind.DATE:
        return repr(float(value)).removesuffix(".0")
    text = str(np.datetime64(int(value), "us"))
    for zeros in (".000000", ":00", "T00:00"):
        text = text.removesuffix(zeros)
    return text


def without_rows(axis: Axis) -> Axis:
    """The axis alone, which is small."""
    return replace(axis, codes=np.zeros(0, np.int32))
