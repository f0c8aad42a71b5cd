"""Colours, axes and traces shared by all charts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import tables
from dashboard.charts.class_choice import largest_classes
from dashboard.formatting import percent, photo_count, score
from dashboard.state import crossfilter
from seglib.classes import VOID, palette
from seglib.query.filters import Filters

Figure = go.Figure

DrawChart = Callable[[Filters], go.Figure]
"""Draws a chart given its own filters: excluded marks are faded, or the selected range is framed."""

PALETTE = "okabe-ito"

MAX_CLASSES = 10
"""Maximum number of bars or squares in one chart; the chart states how many more there are."""

VALIDATE_FIGURES = False
"""Whether plotly validates every entry of a figure against its schema. Validation takes ten times as long as building
the figure, so it is enabled only in the tests.
"""

GRID = "rgba(128,128,128,0.18)"

NEUTRAL = "#7c8aa5"

ACCENT = "#4f7cf0"
"""Between the accents of the light and the dark theme, readable on both."""

INVISIBLE = "rgba(128,128,128,0.003)"
"""Colour of the invisible bars that enlarge the hit area of small ones; plotly skips fully transparent marks."""

PATTERNS = ("", "/", "x", ".")
"""Patterns of adjacent bars, so that they can be told apart without colour."""

LINE_PX = 26

_FADED_OPACITY = 0.28
"""Opacity of marks that are not selected."""

SHARE_AXIS = {"tickformat": ".0%", "range": [0, 1], "dtick": 0.2, "gridcolor": GRID}

LEGEND = {
    "orientation": "h",
    "y": 1.04,
    "yanchor": "bottom",
    "x": 0,
    "traceorder": "normal",
    "itemclick": False,
    "itemdoubleclick": False,
}


def class_colours(names: Sequence[str], colours: str = PALETTE) -> dict[str, str]:
    """Return class -> `#rrggbb`; `names` are all classes of a run, in index order, since its colours depend on them."""
    return {name: "#" + bytes(rgb).hex() for name, rgb in zip(names, palette(colours, names), strict=True)}


def shared_colours(class_lists: Iterable[Sequence[str]], colours: str = PALETTE) -> dict[str, str]:
    """Return class -> `#rrggbb` for runs side by side, the same for a name in all of them, as far as possible.

    Empty for a palette that goes by index, and if the runs have more classes together than there are colours.
    """
    names = list(dict.fromkeys(chain.from_iterable(class_lists)))
    return class_colours(names, colours) if colours == PALETTE and len(names) <= VOID else {}


def class_colour(name: str, *class_lists: Sequence[str]) -> str:
    """Return the colour of one class in a chart of runs with these classes."""
    return (shared_colours(class_lists) or class_colours(class_lists[0])).get(name, ACCENT)


def main_classes(distribution: pd.DataFrame, limit: int = MAX_CLASSES) -> list[str]:
    """Return the classes to show: those present in a photo, by descending mean share, at most `limit`."""
    return largest_classes(distribution["mean_share"][distribution["present"] > 0], limit)


def describe_distribution(distribution: pd.DataFrame, limit: int = 5) -> str:
    """Return `class_distribution` as text, for screen readers."""
    names = main_classes(distribution, limit)
    return ", ".join(f"{name} {percent(float(distribution['mean_share'][name]))}" for name in names) or "no class"


def describe_histogram(bins: pd.DataFrame, *, as_share: bool = False) -> str:
    """Return the fullest bin of `histogram` as text, for screen readers."""
    if not len(bins) or not bins["count"].max():
        return "No photo."
    low, high, largest_count = (bins[name].iloc[int(bins["count"].argmax())] for name in ("low", "high", "count"))
    write = percent if as_share else score
    return f"Most of them, {photo_count(int(largest_count))}, at {write(low)} to {write(high)}."


def fade_unselected(
    figure: go.Figure, active: Filters, ranges: crossfilter.RangeKinds = crossfilter.NO_RANGES
) -> go.Figure:
    """Fade the marks whose photos the chart's own filters exclude."""
    if active:
        for trace in figure.data:
            selected = (crossfilter.is_selected(custom[0], active, ranges) for custom in trace.customdata)
            trace.marker.opacity = [1 if one else _FADED_OPACITY for one in selected]
    return figure


def bars(**parts: Any) -> dict[str, Any]:
    """Return a bar trace."""
    return {"type": "bar", **parts}


def points(**parts: Any) -> dict[str, Any]:
    """Return a trace of points, lines, or both."""
    return {"type": "scatter", **parts}


DIAGONAL = points(
    x=[0, 1], y=[0, 1], mode="lines", line={"color": NEUTRAL, "width": 1, "dash": "dot"}, hoverinfo="skip"
)
"""The diagonal on which both values are equal."""


def box_selection(colour: str) -> dict[str, Any]:
    """Return layout options for box selection with the pointer."""
    return {"dragmode": "select", "newselection": {"line": {"color": colour, "width": 2, "dash": "dot"}}}


def make_figure(
    traces: Sequence[Mapping[str, Any]], height: int, *, top: int = 4, bottom: int = 4, table: str = "", **layout: Any
) -> go.Figure:
    """Return a figure of `height` pixels plus the top and bottom margins.

    `table`: its data as CSV (see `charts.tables`); if empty, the values of its marks.
    """
    axis = {"fixedrange": True, "zeroline": False}
    whole = {
        "height": height + top + bottom,
        "margin": {"l": 0, "r": 20, "t": top, "b": bottom, "pad": 0},
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "bargap": 0.3,
        "dragmode": False,
        "hoverlabel": {"align": "left"},
        "template": {},  # the page has its own template
        "meta": table or _table_of_marks(traces, layout),
        **layout,
        "xaxis": {**axis, **layout.get("xaxis", {})},
        "yaxis": {**axis, **layout.get("yaxis", {})},
    }
    return go.Figure({"data": list(traces), "layout": whole}, _validate=VALIDATE_FIGURES)


def _table_of_marks(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> str:
    shown = [one for one in traces if one is not DIAGONAL and one.get("marker", {}).get("color") != INVISIBLE]
    x, y = (layout.get(axis, {}).get("title", {}).get("text", "") for axis in ("xaxis", "yaxis"))
    return tables.traces(shown, x, y)


def filter_rectangle(frame: pd.DataFrame, keys: tuple[str, str], active: Filters) -> dict[str, Any]:
    """Return a rectangle around the filtered range; an axis without a filter spans all squares."""
    ends: dict[str, float] = {}
    for key, axis in zip(keys, "xy", strict=True):
        low, high = frame[f"{axis}_low"].min(), frame[f"{axis}_high"].max()
        if key in active:
            low, high = max(low, float(active[key][0])), min(high, float(active[key][1]))
        ends |= {f"{axis}0": float(low), f"{axis}1": float(high)}
    return {"type": "rect", "line": {"color": NEUTRAL, "width": 2, "dash": "dot"}, **ends}


def count_axis(counts: Sequence[int]) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "nticks": 5, "tickformat": ",d", "rangemode": "tozero", "ticklabelstandoff": 6}
    return axis | ({"dtick": 1} if max(counts, default=0) <= 5 else {})  # only whole numbers of photos


def text_colour(colour: str) -> str:
    """Return black or white, whichever is easier to read on `#rrggbb` (relative luminance of WCAG 2)."""
    parts = [part / 255 for part in bytes.fromhex(colour.removeprefix("#"))]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "#ffffff"


def pale_colour(colour: str) -> str:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"rgba({red},{green},{blue},0.25)"
