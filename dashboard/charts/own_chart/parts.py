"""Places along the axes, colours and legends that the kinds of charts share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.charts.own_chart.words import group_text, shorten
from dashboard.charts.theme import ACCENT, GRID, INVISIBLE, LEGEND, NEUTRAL, bars, class_colours
from dashboard.formatting import escape_html
from dashboard.state.crossfilter import RangeKinds, is_selected
from seglib.query.fields import Field, Kind
from seglib.query.filters import Filters
from seglib.query.own_chart.axes import NUMERIC, Axis
from seglib.query.own_chart.chart import ChartData

HEIGHT = 300
BAR_WIDTH = 0.92
"""Width of a bar in bins, and of the bars of a group together."""
_MANY_GROUPS = 8
"""With more groups than this, their names are turned."""
_FADED = 0.15
_NAME_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#0072b2", "#f0e442")
"""Okabe and Ito's colours, for names that are no classes."""


@dataclass(frozen=True)
class Look:
    active: Filters
    classes: tuple[str, ...]
    ranges: RangeKinds

    def opacity(self, mark_filter: str) -> float:
        return 1.0 if not self.active or is_selected(mark_filter, self.active, self.ranges) else _FADED


@dataclass(frozen=True)
class Places:
    """Where the groups of an axis lie: on a scale of numbers or dates, or one beside the other."""

    middles: list[float]
    widths: list[float]
    layout: dict[str, Any]


def make_places(axis: Axis, *, on_scale: bool) -> Places:
    title = {"text": escape_html(axis.field.label), "standoff": 10}
    if on_scale and axis.field.kind in NUMERIC:
        bounds = [(scaled(axis.field, group.low), scaled(axis.field, group.high)) for group in axis.groups]
        return Places(
            [(low + high) / 2 for low, high in bounds],
            [high - low for low, high in bounds],
            {"title": title, **scale(axis.field)},
        )
    labels = [escape_html(shorten(group_text(axis, group))) for group in axis.groups]
    layout = {
        "title": title,
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
        "range": [-0.6, len(labels) - 0.4],
        "showgrid": False,
        **({"tickangle": -40} if len(labels) > _MANY_GROUPS else {}),
    }
    return Places([float(place) for place in range(len(labels))], [1.0] * len(labels), layout)


def scaled(field: Field, value: float) -> float:
    return value / 1000 if field.kind is Kind.DATE else value  # plotly counts milliseconds


def scale(field: Field) -> dict[str, Any]:
    shared = {"gridcolor": GRID, "automargin": True, "nticks": 8, "ticklabelstandoff": 4}
    if field.kind is Kind.DATE:
        return {**shared, "type": "date"}
    return {**shared, "tickformat": ".0%" if field.is_share else ",~g" if field.kind is Kind.NUMBER else ",d"}


def group_colours(data: ChartData, look: Look) -> list[str]:
    """A colour per group of the colour axis: a class has its own, and bins go from pale to strong."""
    if data.colour is None:
        return [ACCENT]
    groups = data.colour.groups
    if data.colour.is_numeric:
        return [_mixed(ACCENT, 0.25 + 0.75 * place / max(len(groups) - 1, 1)) for place in range(len(groups))]
    named = {group.label for group in groups if group.filter and group.label}
    if named & set(look.classes):
        known = class_colours(look.classes)
    else:
        known = dict(zip(sorted(named), _NAME_COLOURS, strict=False))
    return [known.get(group.label, NEUTRAL) if group.filter else NEUTRAL for group in groups]


def _mixed(colour: str, strength: float) -> str:
    """`#rrggbb`: the colour on white, as opaque as `strength`, 0..1."""
    parts = (round(255 + (part - 255) * strength) for part in bytes.fromhex(colour.removeprefix("#")))
    return "#" + bytes(parts).hex()


def legend(data: ChartData) -> dict[str, Any]:
    if data.colour is None:
        return {"top": 10}
    return {
        "showlegend": True,
        "legend": {**LEGEND, "title": {"text": escape_html(data.colour.field.label)}},
        "top": 34,
    }


def hit_bars(places: Places, heights: float, customdata: list[list[str]], rows: Sequence[int]) -> dict[str, Any]:
    """Invisible bars over the whole height, of which one is easily hit."""
    return bars(
        x=[places.middles[row] for row in rows],
        y=[heights] * len(rows),
        width=[places.widths[row] for row in rows],
        marker={"color": INVISIBLE},
        showlegend=False,
        customdata=customdata,
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
