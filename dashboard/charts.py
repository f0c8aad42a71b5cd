"""Charts: a small frame in, a plotly figure out.

In: the answers of `seglib.query`, never raw rows. Out: `Figure`s whose colours are those of the overlays. Texts come
from folders and are made inert here, since plotly reads a little HTML. Knows nothing of Streamlit, stores or filters.
"""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.formats import count, named, percent, photos, plain_html, score
from seglib.classes import BACKGROUND, palette

PALETTE = "okabe-ito"
MOST_CLASSES = 10
"""Bars or squares that one chart shows at most; it says how many more there are."""

CONFIG = {"displayModeBar": False}
"""How plotly behaves in the browser."""

_GRID = "rgba(128,128,128,0.18)"
_NEUTRAL = "#7c8aa5"
_LINE_PX = 26


def class_colours(names: Sequence[str], colours: str = PALETTE) -> dict[str, str]:
    """Class -> `#rrggbb`; the names in index order, since some palettes go by it."""
    return {name: "#" + bytes(rgb).hex() for name, rgb in zip(names, palette(colours, names), strict=True)}


def main_classes(distribution: pd.DataFrame, most: int = MOST_CLASSES) -> list[str]:
    """The classes worth a bar: those present in a photo, the largest mean share first."""
    there = distribution[distribution["present"] > 0].sort_values("mean_share", ascending=False, kind="stable")
    return [str(name) for name in there.index[:most]]


def in_words(distribution: pd.DataFrame, most: int = 5) -> str:
    """What `class_distribution` shows, for those who cannot see it."""
    names = main_classes(distribution, most)
    return ", ".join(f"{name} {percent(float(distribution['mean_share'][name]))}" for name in names) or "no class"


def class_distribution(distribution: pd.DataFrame, most: int = MOST_CLASSES) -> go.Figure:
    """Mean share per class as bars, with the number of photos it is present in.

    In: the frame of `query.class_distribution`.
    """
    names = main_classes(distribution, most)
    rows, colours = distribution.loc[names], class_colours(names)
    means, present, n = (rows[name].tolist() for name in ("mean_share", "present", "n"))
    texts = [
        f"{percent(share)} in {count(there)} of {count(of)}" for share, there, of in zip(means, present, n, strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=means,
            y=[plain_html(name) for name in names],
            orientation="h",
            marker_color=[colours[name] for name in names],
            text=texts,
            textposition="outside",
            cliponaxis=False,
            customdata=[list(entry) for entry in zip(names, present, n, strict=True)],
            hovertemplate="%{y}: mean share %{x:.1%}<br>present in %{customdata[1]:,} of %{customdata[2]:,} photos"
            "<extra></extra>",
        )
    )
    widest = max(means, default=0.0)
    figure.update_xaxes(visible=False, range=[0, max(widest, 0.01) * 1.55])
    figure.update_yaxes(autorange="reversed", ticksuffix="  ")
    return _laid_out(figure, _LINE_PX * max(len(names), 1))


def share_by_label(means: pd.DataFrame, most: int = 6) -> go.Figure:
    """One bar per folder label, cut into the mean shares of the classes; it is 100 % wide.

    In: the frame of `query.share_by_label`. Classes beyond the `most` largest are summed up as `other`.
    """
    classes = means.drop(columns="n")
    by_size = classes.mean().sort_values(ascending=False, kind="stable")
    names = [BACKGROUND] * (BACKGROUND in by_size.index)
    names += [str(n) for n in by_size.index if n != BACKGROUND and by_size[n] > 0][: most - 1]
    parts = {name: classes[name] for name in names}
    rest = classes.drop(columns=names).sum(axis=1)
    if float(rest.sum()) > 0:
        parts["other"] = rest
    colours = class_colours(names) | {"other": _NEUTRAL}
    labels = [f"{plain_html(named(str(label)))} n = {count(n)}" for label, n in means["n"].items()]
    figure = go.Figure()
    for name, part in parts.items():
        figure.add_bar(
            x=part.tolist(),
            y=labels,
            name=plain_html(name),
            orientation="h",
            marker_color=colours[name],
            hovertemplate=f"%{{y}}<br>{plain_html(name)}: mean share %{{x:.1%}}<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        bargap=0.35,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1], dtick=0.2, gridcolor=_GRID)
    figure.update_yaxes(autorange="reversed", ticksuffix="  ")
    return _laid_out(figure, 42 * max(len(means), 1) + 56, top=28, bottom=24)


def histogram(bins: pd.DataFrame, *, colour: str = _NEUTRAL, as_share: bool = False, height: int = 170) -> go.Figure:
    """Photos per bin. In: the frame of `query.histogram`; of scores, empty bins at both ends are cut off."""
    used = bins[bins["count"] > 0].index
    shown = bins.loc[used.min() : used.max()] if len(used) and not as_share else bins
    write = percent if as_share else score
    spans = [f"{write(low)} to {write(high)}" for low, high in zip(shown["low"], shown["high"], strict=True)]
    figure = go.Figure(
        go.Bar(
            x=((shown["low"] + shown["high"]) / 2).tolist(),
            y=shown["count"].tolist(),
            width=((shown["high"] - shown["low"]) * 0.92).tolist(),
            marker_color=colour,
            customdata=[[span, photos(int(n))] for span, n in zip(spans, shown["count"], strict=True)],
            hovertemplate="%{customdata[0]}: %{customdata[1]}<extra></extra>",
        )
    )
    figure.update_xaxes(tickformat=".0%" if as_share else ".2f", showgrid=False, nticks=8, ticklabelstandoff=6)
    if as_share:
        figure.update_xaxes(range=[0, 1], dtick=0.2)
    figure.update_yaxes(gridcolor=_GRID, nticks=5, tickformat=",d", rangemode="tozero", ticklabelstandoff=6)
    if int(shown["count"].max()) <= 5:  # no tick between whole photos
        figure.update_yaxes(dtick=1)
    return _laid_out(figure, height, bottom=32)


def _laid_out(figure: go.Figure, height: int, *, top: int = 4, bottom: int = 4) -> go.Figure:
    figure.update_layout(
        height=height + top + bottom,
        margin={"l": 0, "r": 20, "t": top, "b": bottom, "pad": 0},
        showlegend=bool(figure.layout.showlegend),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        bargap=figure.layout.bargap if figure.layout.bargap is not None else 0.3,
        dragmode=False,
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(fixedrange=True, zeroline=False)
    figure.update_yaxes(fixedrange=True, zeroline=False)
    return figure
