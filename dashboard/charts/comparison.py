"""Charts of comparisons: frames from `queries.comparison_stats` in, plotly figures out.

Colours match the difference overlay: A blue, B orange. The first entry of `customdata` is the image id that a click
opens, or the number of the square.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import tables
from dashboard.charts.runs import whiskers
from dashboard.charts.theme import ACCENT, DIAGONAL, GRID, LINE_PX, NEUTRAL, bars, box_selection, make_figure, points
from dashboard.formatting import escape_html, interval, percent, percent_fixed, percentage_points, photo_count
from seglib.masks.difference import CATEGORIES, ONLY_A, ONLY_B
from seglib.metrics.bootstrap import Estimate

A_COLOUR, B_COLOUR = CATEGORIES[ONLY_A].colour, CATEGORIES[ONLY_B].colour
_SQUARE_COLUMNS = ["square", "x_low", "x_high", "y_low", "y_high", "count"]
_ZERO_LINE = {
    "type": "line",
    **{"x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "y domain"},
    "line": {"color": NEUTRAL, "width": 1},
}
_SHARE_AXIS = {"tickformat": ".0%", "range": [-0.03, 1.03], "dtick": 0.2, "gridcolor": GRID, "ticklabelstandoff": 4}


def shares(frame: pd.DataFrame, name: str, colour: str, *, height: int = 260) -> go.Figure:
    """Plot the share of a class in A (x) against B (y): one clickable point per photo, or squares with box selection.

    In: the frame of `comparison_stats.shares`. On the dotted line both shares are equal.
    """
    single = "x" in frame
    if single:
        x, y = frame["x"].tolist(), frame["y"].tolist()
        customdata = [
            [image_id, escape_html(path), percent(a), percent(b)]
            for image_id, path, a, b in zip(frame["image_id"], frame["path"], x, y, strict=True)
        ]
        hint = "%{customdata[1]}<br>A %{customdata[2]}, B %{customdata[3]}<extra></extra>"
        marker = {"size": 8, "color": colour, "opacity": 0.75, "line": {"color": NEUTRAL, "width": 1}}
    else:
        x = ((frame["x_low"] + frame["x_high"]) / 2).tolist()
        y = ((frame["y_low"] + frame["y_high"]) / 2).tolist()
        customdata = [
            [str(square), photo_count(n), f"{percent(a)} to {percent(b)}", f"{percent(c)} to {percent(d)}"]
            for square, a, b, c, d, n in frame[_SQUARE_COLUMNS].itertuples(index=False)
        ]
        hint = "A %{customdata[2]}<br>B %{customdata[3]}<br>%{customdata[1]}<extra></extra>"
        strength = np.log1p(frame["count"].to_numpy("float64"))
        opacity = (0.2 + 0.8 * strength / strength.max(initial=1e-9)).tolist()
        marker = {"symbol": "square", "size": 8, "color": ACCENT, "opacity": opacity}
    horizontal, vertical = (
        {"title": {"text": f"share of {escape_html(name)} in {run}", "standoff": 10}, **_SHARE_AXIS} for run in "AB"
    )
    return make_figure(
        [DIAGONAL, points(x=x, y=y, mode="markers", marker=marker, customdata=customdata, hovertemplate=hint)],
        height,
        top=8,
        bottom=44,
        table=tables.compared_shares(frame, name),
        xaxis=horizontal,
        yaxis=vertical,
        **({} if single else box_selection(ACCENT)),
    )


def area_differences(figures: Mapping[str, Estimate]) -> go.Figure:
    """Draw the share in B minus that in A per class, over all pixels, with its interval; blue where A's is larger."""
    names = list(figures)
    values = [figure.value or 0.0 for figure in figures.values()]
    ends = [figure.interval or (value, value) for figure, value in zip(figures.values(), values, strict=True)]
    lengths = bars(
        x=[value * 100 for value in values],
        y=[escape_html(name) for name in names],
        orientation="h",
        marker={"color": [B_COLOUR if value > 0 else A_COLOUR for value in values]},
        error_x=whiskers([v * 100 for v in values], [(low * 100, high * 100) for low, high in ends]),
        customdata=[
            [percentage_points(value), f"{percentage_points(low)} to {percentage_points(high)}"]
            for value, (low, high) in zip(values, ends, strict=True)
        ],
        hovertemplate="%{y}: %{customdata[0]} percentage points<br>95 %: %{customdata[1]}<extra></extra>",
    )
    reach = max((abs(end) * 100 for pair in ends for end in pair), default=0) * 1.1 or 1
    return make_figure(
        [lengths],
        LINE_PX * max(len(names), 1),
        bottom=52,
        table=tables.estimates("class", names, "B minus A, share of all pixels", list(figures.values())),
        xaxis={
            "range": [-reach, reach],
            "gridcolor": GRID,
            "nticks": 6,
            "ticklabelstandoff": 4,
            "title": {"text": "percentage points of all pixels, B minus A", "standoff": 8},
        },
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "type": "category"},
        shapes=[_ZERO_LINE],
    )


def _label_places(costs: Sequence[float]) -> list[str]:
    """Return where the label of each point goes: towards the middle, and by turns above and below at an equal cost."""
    middle = (min(costs) * max(costs)) ** 0.5
    return [
        f"{('top', 'bottom')[list(costs[:place]).count(cost) % 2]} {'right' if cost <= middle else 'left'}"
        for place, cost in enumerate(costs)
    ]


def cost_benefit(
    costs: Sequence[float],
    names: Sequence[str],
    figures: Sequence[Estimate],
    *,
    cost: str,
    merit: str,
    height: int = 250,
) -> go.Figure:
    """Plot cost (x, logarithmic) against merit (y) with its interval, one point per run.

    The reference run, whose figure has no interval, is drawn hollow.
    """
    values = [figure.value if figure.value is not None else float("nan") for figure in figures]
    ends = [figure.interval or (value, value) for figure, value in zip(figures, values, strict=True)]
    low, high = min(costs), max(costs)
    runs = points(
        x=list(costs),
        y=values,
        mode="lines+markers+text" if len(names) < 7 else "lines+markers",
        text=[escape_html(name) for name in names],
        textposition=_label_places(costs),
        line={"color": NEUTRAL, "width": 1, "dash": "dot"},
        marker={
            "size": 11,
            "color": ACCENT,
            "symbol": ["circle" if figure.interval else "circle-open" for figure in figures],
            "line": {"color": ACCENT, "width": 2},
        },
        error_y=whiskers(values, ends),
        customdata=[
            [f"{cost_value:,.3g}", percent_fixed(value), interval(figure.interval)]
            for cost_value, value, figure in zip(costs, values, figures, strict=True)
        ],
        hovertemplate=f"%{{text}}<br>{escape_html(cost)}: %{{customdata[0]}}<br>{escape_html(merit)}: "
        "%{customdata[1]}<br>95 %: %{customdata[2]}<extra></extra>",
    )
    horizontal = {
        "type": "log",
        "range": [np.log10(low / 1.35), np.log10(high * 1.35)],
        "title": {"text": cost, "standoff": 8},
        "gridcolor": GRID,
        "tickvals": sorted(set(costs)),
        "ticktext": [f"{value:,.3g}" for value in sorted(set(costs))],
        "ticklabelstandoff": 4,
    }
    reach = [end for pair in ends for end in pair if not np.isnan(end)]
    margin = max(max(reach, default=1) - min(reach, default=0), 0.01) * 0.25
    vertical = {
        "range": [min(reach, default=0) - margin, max(reach, default=1) + margin],
        "title": {"text": merit, "standoff": 10},
        "tickformat": ".1%",
        "gridcolor": GRID,
        "nticks": 6,
        "ticklabelstandoff": 4,
    }
    table = tables.estimates("run", names, f"{merit} {tables.UNIT}", figures, **{cost: list(costs)})
    return make_figure([runs], height, top=8, bottom=48, table=table, xaxis=horizontal, yaxis=vertical)
