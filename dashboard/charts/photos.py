"""Charts of a selection of photos: aggregated frames from `seglib.query` in, plotly figures out.

Class colours match the overlays. Clickable marks carry the filter of their photos as text in the first entry of their
`customdata` (see `state.crossfilter`). Names come from folders and plotly renders some HTML, so they are escaped here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import tables
from dashboard.charts.class_choice import largest_classes
from dashboard.charts.theme import (
    ACCENT,
    GRID,
    INVISIBLE,
    LEGEND,
    LINE_PX,
    MAX_CLASSES,
    NEUTRAL,
    PATTERNS,
    SHARE_AXIS,
    bars,
    box_selection,
    class_colours,
    count_axis,
    filter_rectangle,
    main_classes,
    make_figure,
    pale_colour,
    points,
    text_colour,
)
from dashboard.formatting import count, display_name, escape_html, percent, photo_count, score
from dashboard.state import crossfilter
from seglib.classes import BACKGROUND
from seglib.query.filter_text import MAX_COUNT
from seglib.query.filters import Filters


def class_distribution(distribution: pd.DataFrame, limit: int = MAX_CLASSES) -> go.Figure:
    """Draw two columns of bars, each with its own axis: the mean share of each class, and the photos that show it.

    In: the frame of `query.class_distribution`. Background has no bars; it is in the chart's table.
    """
    names = main_classes(distribution.drop(BACKGROUND, errors="ignore"), limit)
    rows, colours = distribution.loc[names], class_colours([str(name) for name in distribution.index])
    means, presence, present, n = (rows[name].tolist() for name in ("mean_share", "presence", "present", "n"))
    mark_filters = [Filters({"present": (name,)}).encode() for name in names]
    lines = [escape_html(name) for name in names]
    shared = {
        "y": lines,
        "orientation": "h",
        "marker": {"color": [colours[name] for name in names]},
        "hoverinfo": "skip",
        "customdata": [[text] for text in mark_filters],
    }
    hits = {
        "x": [1.0] * len(names),
        "y": lines,
        "orientation": "h",
        "width": 1,
        "marker": {"color": INVISIBLE},
        "customdata": [list(entry) for entry in zip(mark_filters, means, present, n, strict=True)],
        "hovertemplate": "%{y}: mean share %{customdata[1]:.1%}<br>present in %{customdata[2]:,} of "
        "%{customdata[3]:,} photos<extra></extra>",
    }
    hidden = {"visible": False, "fixedrange": True}
    return make_figure(
        [bars(x=means, **shared), bars(x=presence, xaxis="x2", **shared), bars(xaxis="x3", **hits)],
        LINE_PX * max(len(names), 1),
        table=tables.class_distribution(distribution.loc[[*distribution.index.intersection([BACKGROUND]), *names]]),
        top=24,
        barmode="overlay",
        annotations=[
            *_bar_column("x", "area", lines, means),
            *_bar_column("x2", "photos", lines, presence),
        ],
        xaxis={"visible": False, "domain": [0, 0.48], "range": [0, _BAR_ROOM * max(means, default=1)]},
        xaxis2={**hidden, "domain": [0.52, 1], "range": [0, _BAR_ROOM * max(presence, default=1)], "anchor": "y"},
        xaxis3={**hidden, "domain": [0, 1], "range": [0, 1], "anchor": "y"},
        yaxis={"autorange": "reversed", "ticksuffix": "  ", "type": "category"},
    )


_BAR_ROOM = 1.45
"""Length of an axis in longest bars: the values are written beyond the bars."""


def _bar_column(axis: str, title: str, lines: list[str], shares: list[float]) -> list[dict[str, Any]]:
    """Return the title of a column of bars and the values behind its bars; texts of bars would fade with them."""
    values = [
        {
            "xref": axis,
            "x": share,
            "y": line,
            "text": percent(share),
            "showarrow": False,
            "xanchor": "left",
            "xshift": 3,
        }
        for line, share in zip(lines, shares, strict=True)
    ]
    head = {"xref": f"{axis} domain", "x": 0, "yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 4}
    return [{**head, "text": title, "showarrow": False, "xanchor": "left"}, *values]


def share_by_label(means: pd.DataFrame, limit: int = 6) -> go.Figure:
    """Draw one stacked bar per folder label with the mean shares of the classes, summing to 100 %.

    In: the frame of `query.share_by_label`. Classes beyond the `limit` largest are summed up as `other`.
    """
    classes = means.drop(columns="n")
    names = [BACKGROUND] * (BACKGROUND in classes.columns)
    names += largest_classes(classes.mean().drop(BACKGROUND, errors="ignore"), limit - 1)
    parts = {name: classes[name] for name in names}
    rest = classes.drop(columns=names).sum(axis=1)
    if float(rest.sum()) > 0:
        parts["other"] = rest
    colours = class_colours([str(name) for name in classes.columns]) | {"other": NEUTRAL}
    lines, customdata = _label_lines(means["n"]), [[text] for text in _label_filters(means)]
    traces = [
        bars(
            x=part.tolist(),
            y=lines,
            name=escape_html(name),
            orientation="h",
            marker={"color": colours[name]},
            text=escape_html(name),
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            insidetextfont={"color": text_colour(colours[name])},
            customdata=customdata,
            hovertemplate=f"%{{y}}<br>{escape_html(name)}: mean share %{{x:.1%}}<extra></extra>",
        )
        for name, part in parts.items()
    ]
    return make_figure(
        traces,
        42 * max(len(means), 1) + 56,
        top=28,
        bottom=24,
        table=tables.share_by_label(parts, means["n"]),
        barmode="stack",
        bargap=0.35,
        showlegend=True,
        legend=LEGEND,
        uniformtext={"minsize": 11, "mode": "hide"},  # label only segments that are wide enough
        xaxis=SHARE_AXIS,
        yaxis={"autorange": "reversed", "ticksuffix": "  "},
    )


def share_spread(spread: pd.DataFrame, colour: str) -> go.Figure:
    """Draw one box per folder label: the box holds half of its photos, the whiskers nine tenths.

    In: the frame of `query.share_spread_by_label`.
    """
    lines = _label_lines(spread["n"])
    quantiles = {name: spread[name].tolist() for name in ("low", "q1", "median", "q3", "high", "mean")}
    customdata = [[text] for text in _label_filters(spread)]

    def span(low: str, high: str, width: float, marker: dict[str, Any]) -> dict[str, Any]:
        lengths = [end - start for start, end in zip(quantiles[low], quantiles[high], strict=True)]
        return bars(
            x=lengths,
            y=lines,
            base=quantiles[low],
            width=width,
            marker=marker,
            orientation="h",
            hoverinfo="skip",
            customdata=customdata,
        )

    solid, framed = {"color": colour}, {"color": pale_colour(colour), "line": {"color": colour, "width": 2}}
    boxes = [  # plotly's basic distribution has no box plots
        span("low", "q1", 0.05, solid),
        span("q1", "median", 0.5, framed),
        span("median", "q3", 0.5, framed),
        span("q3", "high", 0.05, solid),
    ]
    texts = zip(_label_filters(spread), *([percent(v) for v in values] for values in quantiles.values()), strict=True)
    hits = bars(
        x=[1.0] * len(lines),
        y=lines,
        orientation="h",
        width=1,
        marker={"color": INVISIBLE},
        customdata=[list(entry) for entry in texts],
        hovertemplate="%{y}<br>median %{customdata[3]}, mean %{customdata[6]}<br>middle half: "
        "%{customdata[2]} to %{customdata[4]}<br>middle middle nine tenths: %{customdata[1]} to %{customdata[5]}"
        "<extra></extra>",
    )
    return make_figure(
        [*boxes, hits],
        42 * max(len(spread), 1) + 56,
        bottom=24,
        table=tables.share_spread(spread),
        barmode="overlay",
        xaxis=SHARE_AXIS,
        yaxis={"autorange": "reversed", "ticksuffix": "  "},
    )


def histogram(
    bins: pd.DataFrame, key: str, *, colour: str = NEUTRAL, as_share: bool = False, height: int = 170
) -> go.Figure:
    """Draw the photos per bin of the filter `key`.

    In: the frame of `query.histogram`. Empty bins at the ends are cut off, except for shares.
    """
    used = bins[bins["count"] > 0].index
    visible_bins = bins.loc[used.min() : used.max()] if len(used) and not as_share else bins
    write = percent if as_share else score
    lows, highs, counts = (visible_bins[name].tolist() for name in ("low", "high", "count"))
    middles = [(low + high) / 2 for low, high in zip(lows, highs, strict=True)]
    widths = [(high - low) * 0.92 for low, high in zip(lows, highs, strict=True)]
    mark_filters = [crossfilter.bin_filter(key, low, high) for low, high in zip(lows, highs, strict=True)]
    shown_bars = bars(
        x=middles,
        y=counts,
        width=widths,
        marker={"color": colour},
        hoverinfo="skip",
        customdata=[[text] for text in mark_filters],
    )
    hits = bars(
        x=middles,
        y=[max(counts, default=0) if n else 0 for n in counts],
        width=[width / 0.92 for width in widths],
        marker={"color": INVISIBLE},
        customdata=[
            [text, f"{write(low)} to {write(high)}", photo_count(n)]
            for text, low, high, n in zip(mark_filters, lows, highs, counts, strict=True)
        ],
        hovertemplate="%{customdata[1]}: %{customdata[2]}<extra></extra>",
    )
    axis = {"tickformat": ".0%", "range": [0, 1], "dtick": 0.2} if as_share else {"tickformat": ".2f", "nticks": 8}
    return make_figure(
        [shown_bars, hits],
        height,
        bottom=32,
        table=tables.histogram(visible_bins, key),
        barmode="overlay",
        xaxis={"showgrid": False, "ticklabelstandoff": 6, **axis},
        yaxis=count_axis(counts),
    )


def regions(counts: pd.DataFrame, colours: Mapping[str, str], *, height: int = 210) -> go.Figure:
    """Draw the number of photos by number of regions, one bar per class.

    In: the frame of `query.blob_counts`, and class -> `#rrggbb`.
    """
    last, width = int(counts.index[-1]), 0.8 / max(len(counts.columns), 1)
    largest = int(counts.to_numpy().max(initial=0))
    traces = []
    for place, (name, photos_per_number) in enumerate(counts.items()):
        positions = [number - 0.4 + width * (place + 0.5) for number in counts.index]
        mark_filters = [Filters({f"blobs.{name}": _regions_range(n, last)}).encode() for n in counts.index]
        pattern = {"shape": PATTERNS[place % len(PATTERNS)], "fillmode": "overlay", "size": 7, "solidity": 0.2}
        visible_bars = bars(
            x=positions,
            y=photos_per_number.tolist(),
            width=width * 0.92,
            name=escape_html(str(name)),
            marker={"color": colours[str(name)], "pattern": pattern},
            hoverinfo="skip",
            customdata=[[text] for text in mark_filters],
        )
        hits = bars(
            x=positions,
            y=[largest if n else 0 for n in photos_per_number],
            width=width,
            marker={"color": INVISIBLE},
            showlegend=False,
            customdata=[
                [text, f"{escape_html(str(name))}: {_regions_text(number, last)}", photo_count(n)]
                for text, number, n in zip(mark_filters, counts.index, photos_per_number.tolist(), strict=True)
            ],
            hovertemplate="%{customdata[1]}<br>%{customdata[2]}<extra></extra>",
        )
        traces += [visible_bars, hits]
    texts = [f"{number} or more" if number == last else str(number) for number in counts.index]
    return make_figure(
        traces,
        height - 28,
        top=28,
        bottom=32,
        table=tables.regions(counts),
        barmode="overlay",
        showlegend=True,
        legend=LEGEND,
        xaxis={"tickvals": list(counts.index), "ticktext": texts, "showgrid": False, "ticklabelstandoff": 6},
        yaxis=count_axis(counts.to_numpy().ravel().tolist()),
    )


def squares(
    frame: pd.DataFrame,
    keys: tuple[str, str],
    titles: tuple[str, str],
    active: Filters | None = None,
    *,
    colour: str = ACCENT,
    unit: bool = True,
    height: int = 200,
) -> go.Figure:
    """Draw a 2-D histogram of photos over the two filters `keys`, with box selection; fuller squares are more opaque.

    In: the frame of `query.density` (`unit`: measures of 0..1) or of `query.image_sizes` (whole pixels). `active`: the
    chart's own filters, drawn as a frame.
    """
    counts = frame["count"].to_numpy("float64")
    strength = np.log1p(counts) / np.log1p(counts.max(initial=1.0))
    customdata = [_square_customdata(keys, line, unit) for line in frame.itertuples(index=False)]
    marks = points(
        x=((frame["x_low"] + frame["x_high"]) / 2).tolist(),
        y=((frame["y_low"] + frame["y_high"]) / 2).tolist(),
        mode="markers",
        marker={"symbol": "square", "size": 8, "color": colour, "opacity": (0.2 + 0.8 * strength).tolist()},
        customdata=customdata,
        hovertemplate=f"{titles[0]} %{{customdata[1]}}<br>{titles[1]} %{{customdata[2]}}"
        "<br>%{customdata[3]}<extra></extra>",
    )
    horizontal, vertical = (
        {
            "title": {"text": title, "standoff": 12},
            "gridcolor": GRID,
            "ticklabelstandoff": 4,
            "nticks": 6,
            "automargin": True,
            "tickformat": ",d" if not unit else ".0%" if "share" in title else ".2f",
        }
        for title in titles
    )
    return make_figure(
        [marks],
        height,
        top=8,
        bottom=44,
        table=tables.squares(frame, keys),
        xaxis=horizontal,
        yaxis=vertical,
        shapes=[filter_rectangle(frame, keys, active)] if active else [],
        **box_selection(colour),
    )


# --- parts of figures --------------------------------------------------------------------------------------------


def _label_lines(n_of: "pd.Series[int]") -> list[str]:
    return [f"{escape_html(display_name(str(label)))} n = {count(n)}" for label, n in n_of.items()]


def _label_filters(frame: pd.DataFrame) -> list[str]:
    return [Filters({"label": (str(label),)}).encode() for label in frame.index]


def _regions_range(number: int, last: int) -> tuple[int, int]:
    return number, MAX_COUNT if number == last else number


def _regions_text(number: int, last: int) -> str:
    text = f"{number} region" + ("" if number == 1 else "s")
    return text + (" or more" if number == last else "")


def _square_customdata(keys: tuple[str, str], line: Any, unit: bool) -> list[str]:
    """Return the custom data of a square: its filter, its two ranges as text, its number of photos."""
    spans = ((line.x_low, line.x_high), (line.y_low, line.y_high))
    if unit:
        mark_filters = [crossfilter.bin_filter(key, low, high) for key, (low, high) in zip(keys, spans, strict=True)]
        words = [
            " to ".join(percent(end) if key.startswith("share") else score(end) for end in span)
            for key, span in zip(keys, spans, strict=True)
        ]
    else:
        mark_filters = [
            Filters({key: (int(low), int(high))}).encode() for key, (low, high) in zip(keys, spans, strict=True)
        ]
        words = [" to ".join(count(int(end)) for end in dict.fromkeys(span)) for span in spans]
    return ["&".join(mark_filters), *words, photo_count(int(line.count))]
