"""Translate clicks and box selections in charts into filters (cross-filtering).

Each mark carries the filter of its photos as text (`label=cats`) in the first entry of its `customdata`. A chart
ignores its own filters when it counts, so that a selected bar stays visible among the others.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from seglib.errors import SegError
from seglib.query.column_filter import Range, parse_range
from seglib.query.fields import Kind
from seglib.query.filter_kinds.base import FilterValue
from seglib.query.filter_kinds.names import NamesFilter
from seglib.query.filter_text import next_below
from seglib.query.filters import Filters, find_filter

RangeKinds = Mapping[str, Kind]
"""Keys of own columns (`column.iso`) that a range of numbers or dates filters, which their text alone does not say."""

NO_RANGES: RangeKinds = MappingProxyType({})


def without_keys(filters: Filters, keys: Collection[str]) -> Filters:
    """Return the filters without a chart's own: the ones that apply when the chart counts."""
    return Filters({key: value for key, value in filters.items() if key not in keys})


def only_keys(filters: Filters, keys: Collection[str]) -> Filters:
    """Return only a chart's own filters: the ones that decide which marks are highlighted."""
    return Filters({key: value for key, value in filters.items() if key in keys})


def apply_marks(
    marks: Sequence[object], keys: Collection[str], filters: Filters, ranges: RangeKinds = NO_RANGES
) -> Filters:
    """Return the filters after the given marks were selected in a chart whose own filter keys are `keys`.

    Marks selected together are merged: names into a set, ranges into the range from the smallest to the largest value.
    A selection replaces the chart's own filters; repeating it clears them. A single name is added or removed. An empty
    selection (a double click) clears the chart's filters. Marks come from the browser, so unreadable ones are ignored.
    """
    chosen = _merge_marks([_parse(text) for text in marks], keys, ranges)
    if not chosen:
        return filters if marks else without_keys(filters, keys)
    return toggle(chosen, keys, filters, ranges)


def toggle(chosen: Filters, keys: Collection[str], filters: Filters, ranges: RangeKinds = NO_RANGES) -> Filters:
    """Return the filters after `chosen` was selected in a chart whose own filter keys are `keys`."""
    return Filters({**without_keys(filters, keys), **_toggle_own(chosen, only_keys(filters, keys), ranges)})


def is_selected(text: str, active: Filters, ranges: RangeKinds = NO_RANGES) -> bool:
    """Return whether a mark with this filter covers photos that pass the chart's own filters."""
    chosen = _parse(text)
    shared = [key for key in chosen if key in active]
    return bool(shared) and all(_overlap(key, chosen[key], active[key], ranges) for key in shared)


def with_both_present(filters: Filters, first: str, second: str, min_share: float) -> Filters:
    """Return the filters of one co-occurrence cell: photos where both classes have at least the share `min_share`."""
    for name in (first, second):
        filters = filters.replace(f"share.{name}", (min_share, 1.0))
    return filters


def bin_filter(key: str, low: float, high: float) -> str:
    """Return the filter text of a bin, or of one side of a square, within 0..1; only the last bin includes its upper
    bound.
    """
    return Filters({key: (low, high if high == 1 else next_below(high))}).encode()


def _parse(text: Any) -> Filters:
    try:
        return Filters.decode(text) if isinstance(text, str) else Filters()
    except SegError:
        return Filters()


def _merge_marks(chosen: list[Filters], keys: Collection[str], ranges: RangeKinds) -> Filters:
    merged: dict[str, FilterValue] = {}
    for filters in chosen:
        for key, value in filters.items():
            if key in keys:
                merged[key] = _merge_values(key, merged[key], value, ranges) if key in merged else value
    return Filters(merged)


def _merge_values(key: str, first: Any, second: Any, ranges: RangeKinds) -> FilterValue:
    if key in ranges:
        return (_merge_texts(first[0], second[0], ranges[key]),)
    if isinstance(find_filter(key)[0], NamesFilter):
        return (*first, *second)
    return min(first[0], second[0]), max(first[1], second[1])


def _merge_texts(first: str, second: str, kind: Kind) -> str:
    """Return the range from the smaller lower end to the larger upper end, ends as they were written."""
    lower, upper = (_read_range(text, kind) for text in (first, second))
    if lower is None or upper is None:
        return second if lower is None else first
    low = (first if lower.low <= upper.low else second).partition("..")[0]
    ends_first = (lower.high, not lower.below) >= (upper.high, not upper.below)
    return f"{low}..{(first if ends_first else second).partition('..')[2]}"


def _read_range(text: str, kind: Kind) -> Range | None:
    """Return the range, or None for a text that is none, such as the one that stands for rows without a value."""
    try:
        return parse_range(text, kind, "") if text else None
    except SegError:
        return None


def _toggle_own(chosen: Filters, active: Filters, ranges: RangeKinds) -> Filters:
    """Return a chart's own filters after `chosen`, which must not be empty, was selected."""
    key, *more = chosen
    is_name = isinstance(find_filter(key)[0], NamesFilter) and key not in ranges
    if not more and is_name and set(active) <= {key}:
        names = {str(name) for name in active.get(key, ())} ^ {str(name) for name in chosen[key]}
        return Filters({key: tuple(names)})
    return Filters() if chosen == active else chosen


def _overlap(key: str, first: Any, second: Any, ranges: RangeKinds) -> bool:
    if key in ranges:
        one, other = (_read_range(value[-1], ranges[key]) for value in (first, second))
        return one is not None and other is not None and _ranges_overlap(one, other)
    if isinstance(find_filter(key)[0], NamesFilter):
        return bool(set(first) & set(second))
    return bool(first[0] <= second[1] and second[0] <= first[1])


def _ranges_overlap(first: Range, second: Range) -> bool:
    def begins_within(one: Range, other: Range) -> bool:
        return one.low < other.high or (one.low == other.high and not other.below)

    return begins_within(first, second) and begins_within(second, first)
