"""Draw a point per photo, or a cell per pair of groups; both are chosen by a box."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.own_chart.bars import colour_name
from dashboard.charts.own_chart.parts import HEIGHT, Look, group_colours, legend, make_places, scale, scaled
from dashboard.charts.own_chart.words import group_text
from dashboard.charts.theme import ACCENT, bars, box_selection, make_figure, points
from dashboard.formatting import escape_html, photo_count
from seglib.query.fields import Field
from seglib.query.own_chart.axes import range_filter
from seglib.query.own_chart.chart import ChartData

_HEAT_HEIGHT = 380


def draw_points(data: ChartData, look: Look) -> go.Figure:
    assert data.y_field is not None
    fields = (data.x.field, data.y_field)
    steps = [_fine_step(data.frame[axis]) for axis in ("x", "y")]
    hover = "<br>".join(f"{escape_html(field.label)} %{{{axis}}}" for field, axis in zip(fields, "xy", strict=True))
    traces = []
    for place, colour in enumerate(group_colours(data, look)):
        lines = data.frame[data.frame["colour"] == place]
        values = list(zip(lines["x"].tolist(), lines["y"].tolist(), strict=True))
        filters = [_point_filter(fields, steps, value) for value in values]
        traces.append(
            points(
                x=[scaled(fields[0], x) for x, _ in values],
                y=[scaled(fields[1], y) for _, y in values],
                mode="markers",
                name=colour_name(data, place),
                marker={
                    "size": 6,
                    "color": colour,
                    "opacity": [0.75 * look.opacity(text) for text in filters],
                },
                customdata=[[text] for text in filters],
                hovertemplate=f"{hover}<extra></extra>",
            )
        )
    titles = [{"title": {"text": escape_html(field.label), "standoff": 10}} for field in fields]
    x, y = ({**scale(field), **title} for field, title in zip(fields, titles, strict=True))
    return make_figure(traces, HEIGHT, bottom=48, xaxis=x, yaxis=y, **legend(data), **box_selection(ACCENT))


def _fine_step(values: "pd.Series[float]") -> float:
    """A power of ten of which the values span at least a thousand."""
    span = float(values.max() - values.min()) if len(values) else 0.0
    return 10.0 ** math.floor(math.log10(span / 1000)) if span > 0 else 0.0


def _point_filter(fields: tuple[Field, Field], steps: Sequence[float], values: tuple[float, float]) -> str:
    """The filter of a point: its values, rounded outwards so that those of several points make a short range."""
    texts = []
    for field, step, value in zip(fields, steps, values, strict=True):
        low = high = value
        if step > 0:
            digits = max(0, -round(math.log10(step)))
            low, high = (round(end(value / step) * step, digits) for end in (math.floor, math.ceil))
        texts.append(range_filter(field, low, high))
    return "&".join(dict.fromkeys(texts))


def draw_cells(data: ChartData, look: Look) -> go.Figure:
    """Cells as bars, which have any width and height, and can be boxed."""
    assert data.y is not None
    across, up = (make_places(axis, on_scale=True) for axis in (data.x, data.y))
    counts = data.frame["count"].to_numpy("float64")
    strength = np.log1p(counts) / np.log1p(counts.max(initial=1.0))
    middles, bases, heights, widths, customdata = [], [], [], [], []
    for x, y, number in zip(*(data.frame[name].tolist() for name in ("x", "y", "count")), strict=True):
        column, row = data.x.groups[x], data.y.groups[y]
        known = [column.filter, row.filter]
        lines = (
            f"{data.x.field.label} {group_text(data.x, column)}",
            f"{data.y.field.label} {group_text(data.y, row)}",
            photo_count(number),
        )
        customdata.append(["&".join(dict.fromkeys(known)) if all(known) else "", "<br>".join(map(escape_html, lines))])
        middles.append(across.middles[x])
        widths.append(across.widths[x] * 0.96)
        heights.append(up.widths[y] * 0.94)
        bases.append(up.middles[y] - heights[-1] / 2)
    opacity = (0.15 + 0.85 * strength).tolist()
    marks = bars(
        x=middles,
        y=heights,
        base=bases,
        width=widths,
        marker={
            "color": ACCENT,
            "opacity": [look.opacity(text) * value for (text, _), value in zip(customdata, opacity, strict=True)],
        },
        customdata=customdata,
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    return make_figure(
        [marks], _HEAT_HEIGHT, top=10, bottom=48, xaxis=across.layout, yaxis=up.layout, **box_selection(ACCENT)
    )
