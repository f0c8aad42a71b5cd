"""Translate clicks and box selections in charts into filters (cross-filtering).

Each mark carries the filter of its photos as text (`label=cats`) in the first entry of its `customdata`. A chart
ignores its own filters when it counts, so that a selected bar stays visible among the others.
"""

from collections.abc import Collection, Sequence
from typing import Any

from seglib.errors import SegError
from seglib.query.filters import Filters, Names, Value, below, entry_of


def apart(filters: Filters, own: Collection[str]) -> Filters:
    """Return the filters without a chart's own: the ones that apply when the chart counts."""
    return Filters({key: value for key, value in filters.items() if key not in own})


def within(filters: Filters, own: Collection[str]) -> Filters:
    """Return only a chart's own filters: the ones that decide which marks are highlighted."""
    return Filters({key: value for key, value in filters.items() if key in own})


def after(marks: Sequence[object], own: Collection[str], filters: Filters) -> Filters:
    """Return the filters after the given marks were selected in a chart whose own filter keys are `own`.

    Marks selected together are merged: names into a set, ranges into the range from the smallest to the largest value.
    A selection replaces the chart's own filters; repeating it clears them. A single name is added or removed. An empty
    selection (a double click) clears the chart's filters. Marks come from the browser, so unreadable ones are ignored.
    """
    told = _hull([_read(text) for text in marks], own)
    if not told:
        return filters if marks else apart(filters, own)
    return toggled(told, own, filters)


def toggled(told: Filters, own: Collection[str], filters: Filters) -> Filters:
    """Return the filters after `told` was selected in a chart whose own filter keys are `own`."""
    return Filters({**apart(filters, own), **_toggled(told, within(filters, own))})


def marked(text: str, present: Filters) -> bool:
    """Return whether a mark with this filter covers photos that pass the chart's own filters."""
    told = _read(text)
    shared = [key for key in told if key in present]
    return bool(shared) and all(_meet(key, told[key], present[key]) for key in shared)


def bin_text(key: str, low: float, high: float) -> str:
    """Return the filter text of a bin, or of one side of a square, within 0..1; only the last bin includes its upper
    bound.
    """
    return Filters({key: (low, high if high == 1 else below(high))}).encode()


def _read(text: Any) -> Filters:
    try:
        return Filters.decode(text) if isinstance(text, str) else Filters()
    except SegError:
        return Filters()


def _hull(chosen: list[Filters], own: Collection[str]) -> Filters:
    found: dict[str, Value] = {}
    for filters in chosen:
        for key, value in filters.items():
            if key in own:
                found[key] = _joined(key, found[key], value) if key in found else value
    return Filters(found)


def _joined(key: str, first: Any, second: Any) -> Value:
    if isinstance(entry_of(key)[0], Names):
        return (*first, *second)
    return min(first[0], second[0]), max(first[1], second[1])


def _toggled(told: Filters, present: Filters) -> Filters:
    """Return a chart's own filters after `told`, which must not be empty, was selected."""
    key, *more = told
    if not more and isinstance(entry_of(key)[0], Names) and set(present) <= {key}:
        names = {str(name) for name in present.get(key, ())} ^ {str(name) for name in told[key]}
        return Filters({key: tuple(names)})
    return Filters() if told == present else told


def _meet(key: str, first: Any, second: Any) -> bool:
    if isinstance(entry_of(key)[0], Names):
        return bool(set(first) & set(second))
    return bool(first[0] <= second[1] and second[0] <= first[1])
