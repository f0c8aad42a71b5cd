"""Draw counts, means and quantiles as bars along the groups of x."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts.own_chart.parts import (
    BAR_WIDTH,
    HEIGHT,
    Look,
    Places,
    group_colours,
    hit_bars,
    legend,
    make_places,
    scale,
)
from dashboard.charts.own_chart.words import group_text, shorten, value_text
from dashboard.charts.theme import INVISIBLE, bars, count_axis, fade_unselected, make_figure, pale_colour
from dashboard.formatting import count, escape_html, percent, photo_count
from seglib.query.fields import Kind
from seglib.query.histograms import QUANTILES
from seglib.query.own_chart.chart import ChartData, ChartKind

_WHISKER = 0.02
"""Width of a whisker in groups."""


def draw_counts(data: ChartData, look: Look) -> go.Figure:
    places = make_places(data.x, on_scale=data.choice.kind is ChartKind.HISTOGRAM)
    table = _pivot(data)
    base = np.zeros(len(data.x.groups))
    traces = []
    for place, colour in enumerate(group_colours(data, look)):
        heights = table[:, place]
        traces.append(
            bars(
                x=places.middles,
                y=heights.tolist(),
                base=base.tolist(),
                width=[width * BAR_WIDTH for width in places.widths],
                name=colour_name(data, place),
                marker={"color": colour},
                hoverinfo="skip",
                customdata=[[group.filter] for group in data.x.groups],
            )
        )
        base = base + heights
    customdata = [[group.filter, _count_words(data, row, table[row])] for row, group in enumerate(data.x.groups)]
    used = [row for row in range(len(base)) if base[row]]
    traces.append(hit_bars(places, float(base.max(initial=0)), [customdata[row] for row in used], used))
    y = {**count_axis([int(number) for number in base]), "title": {"text": "photos", "standoff": 10}}
    figure = make_figure(traces, HEIGHT, bottom=48, barmode="overlay", xaxis=places.layout, yaxis=y, **legend(data))
    return fade_unselected(figure, look.active, look.ranges)


def _pivot(data: ChartData) -> np.ndarray[Any, Any]:
    """int64 (groups of x, groups of colour): photos."""
    colours = 1 if data.colour is None else len(data.colour.groups)
    table = np.zeros((len(data.x.groups), colours), np.int64)
    table[data.frame["x"], data.frame["colour"]] = data.frame["count"]
    return table


def _count_words(data: ChartData, row: int, numbers: Sequence[int]) -> str:
    lines = [f"{escape_html(group_text(data.x, data.x.groups[row]))}: {photo_count(int(sum(numbers)))}"]
    if data.colour is not None:
        lines += [
            f"{escape_html(group_text(data.colour, group))}: {count(int(n))}"
            for group, n in zip(data.colour.groups, numbers, strict=True)
            if n
        ]
    return "<br>".join(lines)


def colour_name(data: ChartData, place: int) -> str:
    if data.colour is None:
        return ""
    return escape_html(shorten(group_text(data.colour, data.colour.groups[place])))


@dataclass(frozen=True)
class _Split:
    """Bars beside each other within each group of x, one per colour."""

    lines: pd.DataFrame
    """The rows of the chart with this colour."""
    middles: list[float]
    width: float
    filters: list[str]
    texts: list[str]


def _split(data: ChartData, place: int, places: Places) -> _Split:
    number = 1 if data.colour is None else len(data.colour.groups)
    lines = data.frame[data.frame["colour"] == place]
    width = BAR_WIDTH / number
    offset = (place + 0.5) * width - BAR_WIDTH / 2
    filters, texts = [], []
    for row in lines["x"]:
        parts = [(data.x, data.x.groups[row])]
        if data.colour is not None:
            parts.append((data.colour, data.colour.groups[place]))
        known = [group.filter for _, group in parts]
        filters.append("&".join(dict.fromkeys(known)) if all(known) else "")
        texts.append(", ".join(escape_html(group_text(axis, group)) for axis, group in parts))
    return _Split(lines, [places.middles[row] + offset for row in lines["x"]], width, filters, texts)


def draw_means(data: ChartData, look: Look) -> go.Figure:
    assert data.y_field is not None
    places = make_places(data.x, on_scale=False)
    top = float(data.frame["mean"].max()) if len(data.frame) else 0.0
    low = min(float(data.frame["mean"].min()) if len(data.frame) else 0.0, 0.0)
    traces, hits = [], []
    for place, colour in enumerate(group_colours(data, look)):
        part = _split(data, place, places)
        shared = {"x": part.middles, "width": part.width}
        means = part.lines["mean"].tolist()
        words = [
            [text, f"{name}: mean {_number_text(data, mean)}, n = {count(n)}"]
            for text, name, mean, n in zip(part.filters, part.texts, means, part.lines["n"], strict=True)
        ]
        traces.append(
            bars(
                y=means,
                name=colour_name(data, place),
                marker={"color": colour},
                hoverinfo="skip",
                customdata=[[text] for text in part.filters],
                **shared,
            )
        )
        hits.append(_hit_bars(part, max(top, 0.0) or 1.0, words))
    y = {**_value_scale(data), "rangemode": "tozero" if low >= 0 else "normal"}
    figure = make_figure(
        [*traces, *hits], HEIGHT, bottom=48, barmode="overlay", xaxis=places.layout, yaxis=y, **legend(data)
    )
    return fade_unselected(figure, look.active, look.ranges)


def draw_boxes(data: ChartData, look: Look) -> go.Figure:
    """As spans of bars, since plotly's basic distribution has no box plots."""
    places = make_places(data.x, on_scale=False)
    top = float(data.frame["high"].max()) if len(data.frame) else 1.0
    traces, hits = [], []
    for place, colour in enumerate(group_colours(data, look)):
        part = _split(data, place, places)
        solid = {"color": colour}
        framed = {"color": pale_colour(colour), "line": {"color": colour, "width": 2}}
        spans = (
            ("low", "q1", _WHISKER, solid),
            ("q1", "median", part.width * 0.8, framed),
            ("median", "q3", part.width * 0.8, framed),
            ("q3", "high", _WHISKER, solid),
        )
        for number, (low, high, width, marker) in enumerate(spans):
            traces.append(
                bars(
                    x=part.middles,
                    y=(part.lines[high] - part.lines[low]).tolist(),
                    base=part.lines[low].tolist(),
                    width=width,
                    marker=marker,
                    name=colour_name(data, place),
                    showlegend=number == 1 and data.colour is not None,
                    hoverinfo="skip",
                    customdata=[[text] for text in part.filters],
                )
            )
        hits.append(
            _hit_bars(
                part, top, [[text, words] for text, words in zip(part.filters, _box_words(data, part), strict=True)]
            )
        )
    figure = make_figure(
        [*traces, *hits],
        HEIGHT,
        bottom=48,
        barmode="overlay",
        xaxis=places.layout,
        yaxis=_value_scale(data),
        **legend(data),
    )
    return fade_unselected(figure, look.active, look.ranges)


def _box_words(data: ChartData, part: _Split) -> list[str]:
    words = []
    for name, line in zip(part.texts, part.lines.to_dict("records"), strict=True):
        low, q1, median, q3, high = (_number_text(data, line[quantile]) for quantile in QUANTILES)
        words.append(
            f"{name}, n = {count(line['n'])}<br>median {median}, mean {_number_text(data, line['mean'])}"
            f"<br>middle half: {q1} to {q3}<br>middle nine tenths: {low} to {high}"
        )
    return words


def _hit_bars(part: _Split, height: float, customdata: list[list[str]]) -> dict[str, Any]:
    return bars(
        x=part.middles,
        y=[height] * len(part.middles),
        width=part.width,
        marker={"color": INVISIBLE},
        showlegend=False,
        customdata=customdata,
        hovertemplate="%{customdata[1]}<extra></extra>",
    )


def _number_text(data: ChartData, value: float) -> str:
    assert data.y_field is not None
    return percent(value) if data.y_field.kind is Kind.BOOLEAN else value_text(data.y_field, value)


def _value_scale(data: ChartData) -> dict[str, Any]:
    assert data.y_field is not None
    axis = scale(data.y_field)
    if data.y_field.kind is Kind.BOOLEAN:
        axis["tickformat"] = ".0%"
    elif data.y_field.kind is Kind.INTEGER:
        axis["tickformat"] = ",~g"
    what = {"bar": "mean of "}.get(data.choice.kind.value, "")
    return {**axis, "title": {"text": escape_html(what + data.y_field.label), "standoff": 10}}
