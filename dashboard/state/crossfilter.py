"""Translate clicks and box selections in charts into filters (cross-filtering).

Each mark carries the filter of its photos as text (`label=cats`) in the first entry of its `customdata`. A chart
ignores its own filters when it counts, so that a selected bar stays visible among the others.
"""

from collections.abc import Collection, Sequence
from typing import Any

from seglib.errors import SegError
from seglib.query.filter_text import next_below
from seglib.query.filters import Filters, FilterValue, NamesFilter, find_filter


def without_keys(filters: Filters, keys: Collection[str]) -> Filters:
    """Return the filters without a chart's own: the ones that apply when the chart counts."""
    return Filters({key: value for key, value in filters.items() if key not in keys})


def only_keys(filters: Filters, keys: Collection[str]) -> Filters:
    """Return only a chart's own filters: the ones that decide which marks are highlighted."""
    return Filters({key: value for key, value in filters.items() if key in keys})


def apply_marks(marks: Sequence[object], keys: Collection[str], filters: Filters) -> Filters:
    """Return the filters after the given marks were selected in a chart whose own filter keys are `keys`.

    Marks selected together are merged: names into a set, ranges into the range from the smallest to the largest value.
    A selection replaces the chart's own filters; repeating it clears them. A single name is added or removed. An empty
    selection (a double click) clears the chart's filters. Marks come from the browser, so unreadable ones are ignored.
    """
    chosen = _merge_marks([_parse(text) for text in marks], keys)
    if not chosen:
        return filters if marks else without_keys(filters, keys)
    return toggle(chosen, keys, filters)


def toggle(chosen: Filters, keys: Collection[str], filters: Filters) -> Filters:
    """Return the filters after `chosen` was selected in a chart whose own filter keys are `keys`."""
    return Filters({**without_keys(filters, keys), **_toggle_own(chosen, only_keys(filters, keys))})


def is_selected(text: str, active: Filters) -> bool:
    """Return whether a mark with this filter covers photos that pass the chart's own filters."""
    chosen = _parse(text)
    shared = [key for key in chosen if key in active]
    return bool(shared) and all(_overlap(key, chosen[key], active[key]) for key in shared)


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


def _merge_marks(chosen: list[Filters], keys: Collection[str]) -> Filters:
    merged: dict[str, FilterValue] = {}
    for filters in chosen:
        for key, value in filters.items():
            if key in keys:
                merged[key] = _merge_values(key, merged[key], value) if key in merged else value
    return Filters(merged)


def _merge_values(key: str, first: Any, second: Any) -> FilterValue:
    if isinstance(find_filter(key)[0], NamesFilter):
        return (*first, *second)
    return min(first[0], second[0]), max(first[1], second[1])


def _toggle_own(chosen: Filters, active: Filters) -> Filters:
    """Return a chart's own filters after `chosen`, which must not be empty, was selected."""
    key, *more = chosen
    if not more and isinstance(find_filter(key)[0], NamesFilter) and set(active) <= {key}:
        names = {str(name) for name in active.get(key, ())} ^ {str(name) for name in chosen[key]}
        return Filters({key: tuple(names)})
    return Filters() if chosen == active else chosen


def _overlap(key: str, first: Any, second: Any) -> bool:
    if isinstance(find_filter(key)[0], NamesFilter):
        return bool(set(first) & set(second))
    return bool(first[0] <= second[1] and second[0] <= first[1])
