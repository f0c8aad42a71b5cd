"""Say in words what a chart of chosen fields shows: values, groups, and what it leaves out."""

import math

import numpy as np

from dashboard.formatting import choice_name, count, percent, photo_count
from seglib.query.fields import Field, Kind
from seglib.query.own_chart.axes import OTHER, Axis, Group, format_value
from seglib.query.own_chart.chart import ChartData, ChartKind

_LONGEST_LABEL = 24


def value_text(field: Field, value: float) -> str:
    """A number, a share in percent, or a date, for people."""
    if field.kind is Kind.DATE:
        return format_value(field, value).replace("T", " ")
    if field.is_share:
        return percent(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return count(int(value))
    return f"{value:,.4g}" if abs(value) < 1e4 else count(round(value))


def group_text(axis: Axis, group: Group) -> str:
    """`cats`, `0.2 to 0.4`, `2024-03`."""
    if math.isnan(group.low):
        return OTHER if not group.filter else choice_name(axis.field.name, group.label)
    if axis.field.kind is Kind.DATE:
        return _period(axis.field, group)
    if axis.field.kind is Kind.INTEGER:
        low, high = int(group.low), int(group.high) - 1
        return count(low) if low == high else f"{count(low)} to {count(high)}"
    return f"{value_text(axis.field, group.low)} to {value_text(axis.field, group.high)}"


def _period(field: Field, group: Group) -> str:
    low, high = (format_value(field, bound) for bound in (group.low, group.high))
    first, last = np.datetime64(low, "us"), np.datetime64(high, "us")
    for length, following in ((4, np.datetime64(low[:4], "Y") + 1), (7, np.datetime64(low[:7], "M") + 1)):
        if first == np.datetime64(low[:length], "us") and last == following.astype("datetime64[us]"):
            return low[:length]
    if len(low) == 10 and last - first == np.timedelta64(1, "D"):
        return low
    return f"{low} to {high}".replace("T", " ")


def describe_omissions(data: ChartData) -> list[str]:
    """Sentences on what the chart leaves out or sums up."""
    notes = []
    if data.choice.kind is ChartKind.SCATTER and len(data.frame) < data.n:
        notes.append(f"{count(len(data.frame))} of {photo_count(data.n)}, drawn at random.")
    if data.missing:
        notes.append(f"{photo_count(data.missing)} without a value {'is' if data.missing == 1 else 'are'} left out.")
    for axis in (data.x, data.y, data.colour):
        if axis is not None and axis.merged:
            notes.append(f"The {count(axis.merged)} least frequent of {axis.field.label} are summed up as {OTHER}.")
    return notes


def shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
