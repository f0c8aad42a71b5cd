"""Charts of several runs side by side: figures as dots with their intervals, and bars of every class."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard.charts import tables
from dashboard.charts.theme import GRID, LEGEND, NEUTRAL, PATTERNS, bars, make_figure, points
from dashboard.formatting import escape_html, interval, percent_fixed
from seglib.masks.difference import CATEGORIES, ONLY_A, ONLY_B
from seglib.metrics.bootstrap import Estimate

RUN_COLOURS = (CATEGORIES[ONLY_A].colour, CATEGORIES[ONLY_B].colour, "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Colours of runs in their order; those of A and B are those of the difference overlay."""

MAX_BARS_WITH_INTERVALS = 24
"""With more bars than this, their intervals would not be legible."""

_SYMBOLS = ("circle", "diamond-open")
_HEIGHT = 236
"""Height of both charts without margins, as long as all rows fit."""

_MIN_ROW_PX, _MIN_BAR_PX = 24, 8
_LEGEND_PX = 26


def interval_dots(
    names: Sequence[str],
    series: Mapping[str, Sequence[Estimate]],
    *,
    best: Sequence[bool] = (),
) -> go.Figure:
    """Draw one row per name, and in it one dot per series with its 95 % interval; undefined figures have none.

    `best`: the names that are written in bold.
    """
    marked = [*best, *[False] * (len(names) - len(best))]
    rows = [f"<b>{_tick(name)}</b>" if bold else _tick(name) for name, bold in zip(names, marked, strict=True)]
    traces = []
    for place, (title, figures) in enumerate(series.items()):
        known = [(row, one, one.value) for row, one in zip(rows, figures, strict=True) if one.value is not None]
        lengths = whiskers([value for _, _, value in known], [_ends(one) for _, one, _ in known])
        traces.append(
            points(
                x=[value for _, _, value in known],
                y=[row for row, _, _ in known],
                name=escape_html(title),
                mode="markers",
                marker={
                    "size": 11,
                    "color": RUN_COLOURS[place],
                    "symbol": _SYMBOLS[place % 2],
                    "line": {"width": 2, "color": RUN_COLOURS[place]},
                },
                error_x=lengths,
                customdata=[[percent_fixed(value), interval(one.interval)] for _, one, value in known],
                hovertemplate=f"%{{y}}<br>{escape_html(title)}: %{{customdata[0]}}<br>95 %: %{{customdata[1]}}"
                "<extra></extra>",
            )
        )
    ends = [end for figures in series.values() for one in figures for end in _ends(one)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = max(high - low, 0.02) * 0.08
    return make_figure(
        traces,
        max(_HEIGHT - _LEGEND_PX, _MIN_ROW_PX * len(names)),
        top=_LEGEND_PX if len(series) > 1 else 4,
        bottom=28,
        table=tables.series(("name", "measure"), names, series, "value"),
        showlegend=len(series) > 1,
        legend=LEGEND,
        xaxis={
            "range": [low - margin, high + margin],
            "tickformat": ".0%" if high - low > 0.06 else ".1%",
            "nticks": 7,
            "gridcolor": GRID,
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": rows[::-1],
            "ticksuffix": "  ",
            "gridcolor": GRID,
        },
    )


def class_bars(classes: Sequence[str], runs: Mapping[str, Sequence[Estimate]], *, axis: str) -> go.Figure:
    """Draw one group of bars per class, one bar per run; undefined figures have none. `axis`: title of the axis."""
    with_ends = len(classes) * len(runs) <= MAX_BARS_WITH_INTERVALS
    traces = []
    for place, (title, figures) in enumerate(runs.items()):
        lengths = whiskers([one.value or 0.0 for one in figures], [_ends(one) or (0.0, 0.0) for one in figures])
        pattern = {
            "shape": PATTERNS[place % len(PATTERNS)],
            "fgcolor": "rgba(255,255,255,0.55)",
            "size": 5,
            "fillmode": "overlay",
        }
        traces.append(
            bars(
                x=[one.value for one in figures],
                y=[escape_html(name) for name in classes],
                orientation="h",
                name=escape_html(title),
                marker={"color": RUN_COLOURS[place % len(RUN_COLOURS)], "pattern": pattern},
                customdata=[[percent_fixed(one.value), interval(one.interval)] for one in figures],
                hovertemplate=f"%{{y}}, {escape_html(title)}: %{{customdata[0]}}<br>95 %: %{{customdata[1]}}"
                "<extra></extra>",
                error_x=lengths | {"visible": with_ends and any(one.interval for one in figures)},
            )
        )
    reach = max((end for figures in runs.values() for one in figures for end in _ends(one)), default=0.0)
    return make_figure(
        traces,
        max(_HEIGHT - _LEGEND_PX, len(classes) * (6 + _MIN_BAR_PX * len(runs))),
        top=_LEGEND_PX if len(runs) > 1 else 4,
        bottom=44,
        table=tables.series(("class", "run"), classes, runs, axis),
        barmode="group",
        bargap=0.25,
        showlegend=len(runs) > 1,
        legend=LEGEND,
        xaxis={
            "range": [0, min(1.0, reach * 1.08) or 1.0],
            "tickformat": ".0%" if reach > 0.1 else ".1%",
            "nticks": 7,
            "gridcolor": GRID,
            "title": {"text": axis, "standoff": 8},
        },
        yaxis={"autorange": "reversed", "type": "category", "ticksuffix": "  "},
    )


def describe(names: Sequence[str], figures: Sequence[Estimate]) -> str:
    """Return figures as text, for screen readers: `FCN 45.2 % (40.8 to 52.0 %), U-Net ...`."""
    return ", ".join(
        f"{name} {percent_fixed(one.value)}" + (f" ({interval(one.interval)})" if one.interval else "")
        for name, one in zip(names, figures, strict=True)
    )


def _tick(name: str) -> str:
    """Break a run's label into lines, which leaves more width for the chart."""
    return "<br>".join(escape_html(part) for part in name.split(" · "))


def _ends(figure: Estimate) -> tuple[float, ...]:
    """Return the ends of the interval, or twice the value without one; nothing without a value."""
    if figure.value is None:
        return ()
    return figure.interval or (figure.value, figure.value)


def whiskers(values: Sequence[float], ends: Sequence[Sequence[float]]) -> dict[str, object]:
    """Return error bars of these values to the `ends` of their intervals, (low, high)."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(high - value, 0) for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [max(value - low, 0) for value, (low, _) in zip(values, ends, strict=True)],
        "color": NEUTRAL,
        "thickness": 1.5,
        "width": 4,
    }
