"""Compute a chart of fields that the user chooses: small frames, whatever the number of rows.

`compute_chart` takes a `ChartChoice` and the values of its fields, and returns `ChartData`, or raises `UsageError` with
a sentence for a choice that makes no chart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.errors import UsageError
from seglib.query.column_filter import as_numbers
from seglib.query.fields import Field, Kind, field_values, find_field
from seglib.query.histograms import QUANTILES
from seglib.query.own_chart.axes import GROUPED, NUMERIC, Axis, make_axis, without_rows

MAX_GROUPS = 30
"""Names along an axis; the rest is merged."""
MAX_COLOURS = 8
MAX_BINS = 40
"""Bins of a histogram."""
MAX_COARSE_BINS = 12
"""Bins of a number along the axis of bars and boxes."""
MAX_COLOUR_BINS = 5
HEAT_BINS = (40, 24)
"""Bins along x and along y."""
MAX_POINTS = 1000
"""Points of a scatter plot; of more photos, so many are drawn at random."""

_SEED = 0


class ChartKind(StrEnum):
    HISTOGRAM = "histogram"
    """Number of photos along x."""
    BAR = "bar"
    """Mean of y per group of x; without y, the number of photos."""
    BOX = "box"
    """Quantiles of y per group of x."""
    SCATTER = "scatter"
    """A point per photo."""
    HEAT = "heat"
    """Number of photos per cell of x and y."""


WITHOUT_COLOUR = (ChartKind.HEAT,)
_SUMMARIES = {
    ChartKind.BAR: ("mean", (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)),
    ChartKind.BOX: ("quantiles", (Kind.NUMBER, Kind.INTEGER)),
}
"""What a kind of chart computes of y, and the kinds of fields that have it."""
NEEDS_Y = (ChartKind.BOX, ChartKind.SCATTER, ChartKind.HEAT)


@dataclass(frozen=True)
class ChartChoice:
    """Names of fields (`fields.Field.name`); empty: none."""

    kind: ChartKind
    x: str
    y: str = ""
    colour: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that this kind of chart uses."""
        y = self.y if self.kind is not ChartKind.HISTOGRAM else ""
        colour = self.colour if self.kind not in WITHOUT_COLOUR else ""
        return tuple(dict.fromkeys(name for name in (self.x, y, colour) if name))


@dataclass(frozen=True)
class FieldValues:
    field: Field
    values: pd.Series
    """One per row, with the dtype of the field's kind."""


@dataclass(frozen=True)
class ChartData:
    choice: ChartChoice
    frame: pd.DataFrame
    """Histogram, and bars without y: x, colour, count. Bars: x, colour, mean, n. Boxes: x, colour, n, mean and the
    `QUANTILES`. Scatter: x, y as numbers (dates as microseconds since 1970), colour. Heat: x, y, count. Where not said
    otherwise, x, y and colour are positions in the groups of the axes; colour is 0 without a colour.
    """
    x: Axis
    y: Axis | None
    """None if y is not an axis with groups."""
    colour: Axis | None
    y_field: Field | None
    n: int
    """Photos with a value in every field."""
    missing: int
    """Photos without one."""


def read_fields(table: pd.DataFrame, choice: ChartChoice) -> dict[str, FieldValues]:
    """The values of the fields that a chart uses. Raises `UnknownName`, and `UsageError` without a field for x."""
    if not choice.x:
        raise UsageError("A chart needs a field along x: choose one.")
    return {name: FieldValues(find_field(table, name), field_values(table, name)) for name in choice.names}


def check_choice(choice: ChartChoice, fields: Mapping[str, Field]) -> None:
    """Raise `UsageError` with a sentence if these fields make no chart of this kind."""
    for name in choice.names:
        if fields[name].kind not in (*NUMERIC, *GROUPED):
            raise UsageError(f"{fields[name].label} is text, which has no groups: choose a number, a date or names.")
    y = fields.get(choice.y) if choice.kind is not ChartKind.HISTOGRAM else None
    if y is None and choice.kind in NEEDS_Y:
        raise UsageError(f"This kind of chart ({choice.kind}) needs a field along y as well: choose one.")
    if y is not None and choice.kind in _SUMMARIES:
        what, kinds = _SUMMARIES[choice.kind]
        if y.kind not in kinds:
            raise UsageError(f"{y.label} has no {what}: choose a number along y, or another kind of chart.")
    if choice.kind is ChartKind.SCATTER:
        for field in (fields[choice.x], fields[choice.y]):
            if field.kind not in NUMERIC:
                raise UsageError(
                    f"A scatter plot has numbers or dates on both axes, and {field.label} is neither: choose another "
                    "field, or another kind of chart."
                )


def compute_chart(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> ChartData:
    """Compute the chart from the values of its fields, equally long. Raises `UsageError` as `check_choice` does."""
    check_choice(choice, {name: one.field for name, one in fields.items()})
    rows = _complete_rows(choice, fields)
    n, missing = int(rows.sum()), int((~rows).sum())
    if missing:
        fields = {name: replace(one, values=one.values[rows]) for name, one in fields.items()}
    compute = {
        ChartKind.HISTOGRAM: _count_bars,
        ChartKind.BAR: _mean_bars if choice.y else _count_bars,
        ChartKind.BOX: _boxes,
        ChartKind.SCATTER: _points,
        ChartKind.HEAT: _cells,
    }[choice.kind]
    frame, x, y, colour = compute(choice, fields)
    has_y = bool(choice.y) and choice.kind is not ChartKind.HISTOGRAM
    return ChartData(
        choice,
        frame,
        x=without_rows(x),
        y=None if y is None else without_rows(y),
        colour=None if colour is None else without_rows(colour),
        y_field=fields[choice.y].field if has_y else None,
        n=n,
        missing=missing,
    )


def _complete_rows(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> NDArray[np.bool_]:
    """bool (rows,): whether each number and date is known; rows without a name are a group of their own."""
    summarised = choice.y if choice.kind in _SUMMARIES else ""
    rows = np.ones(len(fields[choice.x].values), bool)
    for name, one in fields.items():
        if one.field.kind in NUMERIC or name == summarised:
            rows &= np.isfinite(_numbers(one))
    return rows


_Computed = tuple[pd.DataFrame, Axis, Axis | None, Axis | None]
"""The frame, and the axes x, y and colour."""


def _axis(fields: Mapping[str, FieldValues], name: str, bins: int, groups: int = MAX_GROUPS) -> Axis:
    return make_axis(fields[name].field, fields[name].values, bins=bins, groups=groups)


def _colour_axis(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> Axis | None:
    return _axis(fields, choice.colour, MAX_COLOUR_BINS, MAX_COLOURS) if choice.colour else None


def _count_bars(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> _Computed:
    x = _axis(fields, choice.x, MAX_BINS if choice.kind is ChartKind.HISTOGRAM else MAX_COARSE_BINS)
    colour = _colour_axis(choice, fields)
    cells, width = _cells_of(x, colour)
    counts = np.bincount(cells, minlength=len(x.groups) * width)
    filled = np.flatnonzero(counts)
    frame = pd.DataFrame({"x": filled // width, "colour": filled % width, "count": counts[filled]})
    return frame, x, None, colour


def _mean_bars(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> _Computed:
    x, colour = _axis(fields, choice.x, MAX_COARSE_BINS), _colour_axis(choice, fields)
    cells, width = _cells_of(x, colour)
    counts = np.bincount(cells, minlength=len(x.groups) * width)
    sums = np.bincount(cells, _numbers(fields[choice.y]), minlength=len(counts))
    filled = np.flatnonzero(counts)
    means = sums[filled] / counts[filled]
    frame = pd.DataFrame({"x": filled // width, "colour": filled % width, "mean": means, "n": counts[filled]})
    return frame, x, None, colour


def _boxes(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> _Computed:
    x, colour = _axis(fields, choice.x, MAX_COARSE_BINS), _colour_axis(choice, fields)
    cells, width = _cells_of(x, colour)
    in_order = _numbers(fields[choice.y])[np.argsort(cells, kind="stable")]
    counts = np.bincount(cells, minlength=len(x.groups) * width)
    ends = np.cumsum(counts)
    lines = []
    for cell in np.flatnonzero(counts):
        values = in_order[ends[cell] - counts[cell] : ends[cell]]
        quantiles = dict(zip(QUANTILES, np.quantile(values, list(QUANTILES.values())), strict=True))
        lines.append({"x": cell // width, "colour": cell % width, "n": len(values), "mean": values.mean(), **quantiles})
    return pd.DataFrame(lines, columns=["x", "colour", "n", "mean", *QUANTILES]), x, None, colour


def _points(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> _Computed:
    x, y, colour = (
        as_numbers(fields[choice.x].values),
        as_numbers(fields[choice.y].values),
        _colour_axis(choice, fields),
    )
    places = np.arange(len(x))
    if len(places) > MAX_POINTS:
        places = np.sort(np.random.default_rng(_SEED).choice(places, MAX_POINTS, replace=False))
    codes = np.zeros(len(places), np.int32) if colour is None else colour.codes[places]
    frame = pd.DataFrame({"x": x[places], "y": y[places], "colour": codes})
    return frame, Axis(fields[choice.x].field, (), codes), None, colour


def _cells(choice: ChartChoice, fields: Mapping[str, FieldValues]) -> _Computed:
    x, y = _axis(fields, choice.x, HEAT_BINS[0]), _axis(fields, choice.y, HEAT_BINS[1])
    cells, width = _cells_of(x, y)
    counts = np.bincount(cells, minlength=len(x.groups) * width)
    filled = np.flatnonzero(counts)
    return pd.DataFrame({"x": filled // width, "y": filled % width, "count": counts[filled]}), x, y, None


def _numbers(one: FieldValues) -> NDArray[np.float64]:
    if one.field.kind is Kind.BOOLEAN:
        return one.values.to_numpy("float64", na_value=np.nan)
    return as_numbers(one.values)


def _cells_of(first: Axis, second: Axis | None) -> tuple[NDArray[np.intp], int]:
    """(number of each row's cell, cells per group of the first axis)."""
    if second is None:
        return first.codes.astype(np.intp), 1
    width = max(len(second.groups), 1)
    return first.codes.astype(np.intp) * width + second.codes, width


def suitable_fields(fields: Sequence[Field]) -> list[Field]:
    """The fields that an axis can have."""
    return [field for field in fields if field.kind in (*NUMERIC, *GROUPED)]
