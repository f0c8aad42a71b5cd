"""What a click or a box in a chart means for the filters.

In: what the chosen marks of a chart carry, the chart's own filters, the present ones. Out: new `Filters`, and which
marks of a chart stand for what is filtered. Each mark carries the filter of its photos as text (`label=cats`), the
first entry of its `customdata`. A chart ignores its own filters when it counts, so that a chosen bar stays visible
among the others. Knows nothing of Streamlit, figures or tables.
"""

from collections.abc import Collection, Sequence
from typing import Any

from seglib.errors import SegError
from seglib.query.filters import Filters, Names, Value, below, entry_of


def apart(filters: Filters, own: Collection[str]) -> Filters:
    """Without a chart's own filters: what it counts."""
    return Filters({key: value for key, value in filters.items() if key not in own})


def within(filters: Filters, own: Collection[str]) -> Filters:
    """Only a chart's own filters: what it marks."""
    return Filters({key: value for key, value in filters.items() if key in own})


def after(marks: Sequence[object], own: Collection[str], filters: Filters) -> Filters:
    """The filters after marks that carry this were chosen in a chart whose own filters have these keys.

    Marks that are chosen together give their names, or the range from the least to the greatest. What is chosen takes
    the place of all that the chart had filtered; chosen once more, it is taken away; of names one is added or taken
    away. No mark (a double click) clears the chart. What cannot be read, since it comes from the browser, changes
    nothing.
    """
    told = _hull([_read(text) for text in marks], own)
    if not told:
        return filters if marks else apart(filters, own)
    return toggled(told, own, filters)


def toggled(told: Filters, own: Collection[str], filters: Filters) -> Filters:
    """The filters after `told` was chosen in a chart whose own filters have these keys."""
    return Filters({**apart(filters, own), **_toggled(told, within(filters, own))})


def marked(text: str, present: Filters) -> bool:
    """Whether a mark with this filter shows photos that the chart's own filters let pass."""
    told = _read(text)
    shared = [key for key in told if key in present]
    return bool(shared) and all(_meet(key, told[key], present[key]) for key in shared)


def bin_text(key: str, low: float, high: float) -> str:
    """The filter of a bin, or of one side of a square, within 0..1; the last one holds its upper end."""
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
    """A chart's own filters after `told`, which is not empty."""
    key, *more = told
    if not more and isinstance(entry_of(key)[0], Names) and set(present) <= {key}:
        names = {str(name) for name in present.get(key, ())} ^ {str(name) for name in told[key]}
        return Filters({key: tuple(names)})
    return Filters() if told == present else told


def _meet(key: str, first: Any, second: Any) -> bool:
    if isinstance(entry_of(key)[0], Names):
        return bool(set(first) & set(second))
    return bool(first[0] <= second[1] and second[0] <= first[1])
