"""Group numbers and dates into ranges: where to cut, and how each range is called and filtered."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

QUARTERS = 4
MAX_WHOLE_NUMBERS = 8
MAX_DATES = 24

_MAX_DECIMALS = 17
_FIRST_MONDAY = np.datetime64("1970-01-05")

Days = NDArray[np.datetime64]


class Group(NamedTuple):
    name: str
    text: str | None
    """What the field's filter takes for these values: `cats`, `0.1..<0.25`, `2024-03-01..2024-03-31`; None if there is
    no such filter.
    """


# --- numbers -----------------------------------------------------------------------------------------------------


def start_groups(counts: NDArray[np.integer], *, whole: bool) -> NDArray[np.intp]:
    """Return where each group begins among distinct numbers in ascending order, whose images are `counts`.

    A number that at least a quarter of the images have is a group of its own, and the numbers between such are cut into
    groups of about a quarter. With `whole`, each of at most 8 numbers is a group.
    """
    if whole and len(counts) <= MAX_WHOLE_NUMBERS:
        return np.arange(len(counts))
    total = int(counts.sum())
    frequent = np.flatnonzero(counts * QUARTERS >= total)
    bounds = sorted({0, len(counts), *frequent.tolist(), *(frequent + 1).tolist()})
    starts: list[int] = []
    for first, end in pairwise(bounds):
        reached = np.cumsum(counts[first:end])
        pieces = max(1, round(QUARTERS * int(reached[-1]) / total))
        targets = reached[-1] * np.arange(1, pieces) / pieces
        nearest = [int(np.abs(reached - target).argmin()) + 1 for target in targets]
        starts += [first, *(first + cut for cut in sorted(set(nearest)) if cut < end - first)]
    return np.array(starts, np.intp)


def name_groups(
    distinct: NDArray[np.float64], starts: NDArray[np.intp], *, whole: bool, as_share: bool = False
) -> list[Group]:
    """Name the groups of ascending numbers by their ends, which are as short as they can be between two groups.

    `0.3 to <0.52`, `0.52 to 0.9`; of whole numbers `1`, `2 to 5`; `as_share`: in percent.
    """
    ends = np.append(starts[1:], len(distinct))
    if whole:
        return [_name_whole(distinct[first:end]) for first, end in zip(starts, ends, strict=True)]
    step = max(distinct[-1] - distinct[0], abs(distinct[-1]) / 1000, 1e-12) / 100
    inner = [_shortest_between(distinct[start - 1], distinct[start]) for start in starts[1:].tolist()]
    edges = [_round_outwards(distinct[0], step, math.floor), *inner, _round_outwards(distinct[-1], step, math.ceil)]
    groups = []
    for place, (first, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if end - first == 1:
            text = _plain(distinct[first])
            groups.append(Group(_write(text, as_share), f"{text}..{text}"))
            continue
        low, high = edges[place], edges[place + 1]
        below = "" if end == len(distinct) else "<"
        groups.append(Group(f"{_write(low, as_share)} to {below}{_write(high, as_share)}", f"{low}..{below}{high}"))
    return groups


def _name_whole(numbers: NDArray[np.float64]) -> Group:
    low, high = _plain(numbers[0]), _plain(numbers[-1])
    return Group(low if low == high else f"{low} to {high}", f"{low}..{high}")


def _shortest_between(below: float, above: float) -> str:
    """Return the number with the fewest decimals that is greater than `below` and at most `above`."""
    for decimals in range(_MAX_DECIMALS + 1) if math.isfinite(above) else ():
        text = f"{math.floor(above * 10**decimals) / 10**decimals:.{decimals}f}"
        if below < float(text) <= above:
            return _without_minus_zero(text)
    return _plain(above)


def _round_outwards(value: float, step: float, direction: Callable[[float], int]) -> str:
    """Return the first or last end of all numbers: rounded down or up, by at most about `step`."""
    if not math.isfinite(value) or not math.isfinite(step):
        return _plain(value)
    decimals = min(max(0, -math.floor(math.log10(step))), _MAX_DECIMALS)
    text = f"{direction(value * 10**decimals) / 10**decimals:.{decimals}f}"
    outside = float(text) <= value if direction is math.floor else float(text) >= value
    return _plain(float(_without_minus_zero(text)) if outside else value)


def _plain(value: float) -> str:
    """Write a number without an exponent, and without more digits than it takes to read it back."""
    return (
        _without_minus_zero(np.format_float_positional(value, trim="-")) if math.isfinite(value) else repr(float(value))
    )


def _without_minus_zero(text: str) -> str:
    return text.removeprefix("-") if float(text) == 0 else text


def _write(text: str, as_share: bool) -> str:
    return f"{_plain(round(float(text) * 100, 12))} %" if as_share else text


# --- dates -------------------------------------------------------------------------------------------------------


class _Unit(NamedTuple):
    number: Callable[[Days], NDArray[np.int64]]
    """Numbers of the units since 1970 in which days lie."""
    first_day: Callable[[int], np.datetime64]
    name: Callable[[str, str], str]
    """Name of a unit by its first and its last day."""


def group_days(days: Days) -> tuple[NDArray[np.intp], list[Group]]:
    """Group days, datetime64[D] without NaT, by the finest unit that makes at most 24 groups, else by decades.

    Days and weeks that are no finer than months or years, as one day of each year, are called by these. Returns the
    group of each day, and the groups in ascending order.
    """
    tried = [np.unique(unit.number(days), return_inverse=True) for unit in _UNITS]
    numbers = [len(distinct) for distinct, _ in tried]
    finest = next((place for place, number in enumerate(numbers) if number <= MAX_DATES), len(_UNITS) - 1)
    same = [place for place in range(finest, len(_UNITS) - 1) if numbers[place] == numbers[finest] > 1]
    place = max(same, default=finest)
    unit, (distinct, codes) = _UNITS[place], tried[place]
    ends = [(str(unit.first_day(n)), str(unit.first_day(n + 1) - np.timedelta64(1, "D"))) for n in distinct.tolist()]
    return codes, [Group(unit.name(first, last), f"{first}..{last}") for first, last in ends]


def _since_1970(code: str, several: int = 1) -> Callable[[Days], NDArray[np.int64]]:
    return lambda days: days.astype(f"datetime64[{code}]").astype(np.int64) // several


def _first_day(code: str, several: int = 1) -> Callable[[int], np.datetime64]:
    def first_day(number: int) -> np.datetime64:
        day: np.datetime64 = np.array([number * several]).astype(f"datetime64[{code}]").astype("datetime64[D]")[0]
        return day

    return first_day


_UNITS = (
    _Unit(_since_1970("D"), _first_day("D"), lambda first, _: first),
    _Unit(
        lambda days: (days - _FIRST_MONDAY).astype(np.int64) // 7,
        lambda number: _FIRST_MONDAY + np.timedelta64(7 * number, "D"),
        lambda first, last: f"{first} to {last}",
    ),
    _Unit(_since_1970("M"), _first_day("M"), lambda first, _: first[:-3]),
    _Unit(_since_1970("Y"), _first_day("Y"), lambda first, _: first[:-6]),
    _Unit(_since_1970("Y", 10), _first_day("Y", 10), lambda first, last: f"{first[:-6]} to {last[:-6]}"),
)
"""Days, weeks, months, years and decades."""
