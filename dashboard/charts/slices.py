"""Chart of slices: one row per slice with its value, its interval, and what as many random photos have."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.answers.slices import slice_name
from dashboard.charts import tables
from dashboard.charts.runs import whiskers
from dashboard.charts.theme import ACCENT, GRID, LEGEND, bars, make_figure, points
from dashboard.formatting import count, escape_html, interval, percent_fixed, photo_count
from seglib.evaluation.slices.figures import SliceFigures, SliceTable
from seglib.metrics.slice_estimates import SliceEstimate

MAX_SLICES = 30
"""Maximum number of rows; the worst ones are drawn."""

_BAND = "rgba(124,138,165,0.28)"
_MAX_NAME = 28
_ROW_PX = 24
_LOOKS: Mapping[str, tuple[str, str]] = {
    "lower, beyond chance": ("#d55e00", "triangle-down"),
    "higher, beyond chance": ("#009e73", "triangle-up"),
    "within chance": (ACCENT, "circle"),
}
"""What is said of a slice -> colour and symbol of its mark."""


def slice_dots(table: SliceTable, measure: str) -> go.Figure:
    """Draw the first measure of each slice that has an interval, the worst first; `measure`: what it is called.

    The first entry of `customdata` is the filter of the slice's photos, empty if there is none.
    """
    shown = drawn_slices(table)
    estimates = [row.estimates[table.measures[0]] for row in shown]
    labels = [_label(table, row) for row in shown]
    ends = [end for one in estimates for end in (*_ends(one), *(one.random_range or ()))]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = max(high - low, 0.02) * 0.06
    traces = [_bands(shown, labels, estimates), *_marks(table, shown, labels, measure)]
    return make_figure(
        traces,
        max(3, len(shown)) * _ROW_PX,
        top=26,
        bottom=44,
        table=_csv(table, measure),
        barmode="overlay",
        bargap=0.35,
        showlegend=True,
        legend=LEGEND,
        xaxis={
            "range": [max(0.0, low - margin), high + margin],
            "tickformat": ".0%" if high - low > 0.06 else ".1%",
            "nticks": 7,
            "gridcolor": GRID,
            "title": {"text": f"{escape_html(measure)}, over all pixels", "standoff": 8},
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": labels[::-1],
            "ticksuffix": "  ",
            "gridcolor": GRID,
        },
    )


def drawn_slices(table: SliceTable) -> list[SliceFigures]:
    """Return the slices with an interval, the worst first, at most `MAX_SLICES`."""
    return [row for row in table.rows if row.estimates[table.measures[0]].figure.interval is not None][:MAX_SLICES]


def _verdict(one: SliceEstimate) -> str:
    return "lower, beyond chance" if one.is_below else "higher, beyond chance" if one.is_above else "within chance"


def describe(table: SliceTable) -> str:
    """Return the chart as text, for screen readers."""
    return ", ".join(
        f"{slice_name(table.field, row.slice)} {percent_fixed(row.estimates[table.measures[0]].figure.value)}"
        for row in drawn_slices(table)
    )


def _label(table: SliceTable, row: SliceFigures) -> str:
    name = slice_name(table.field, row.slice)
    short = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
    # rows of the same short name stay apart
    same = [one for one in table.rows if slice_name(table.field, one.slice)[: _MAX_NAME - 1] == name[: _MAX_NAME - 1]]
    marks = "\N{ZERO WIDTH SPACE}" * next(place for place, one in enumerate(same) if one is row)
    return f"{escape_html(short)}{marks} <span style='opacity:.7'>n = {count(row.images)}</span>"


def _bands(shown: Sequence[SliceFigures], labels: Sequence[str], estimates: Sequence[SliceEstimate]) -> dict[str, Any]:
    known = [
        (row.slice.where or "", label, one.random_range)
        for row, label, one in zip(shown, labels, estimates, strict=True)
        if one.random_range is not None
    ]
    return bars(
        x=[high - low for *_, (low, high) in known],
        y=[label for _, label, _ in known],
        base=[low for *_, (low, _) in known],
        orientation="h",
        name="as many random photos",
        marker={"color": _BAND},
        customdata=[[where] for where, *_ in known],
        hoverinfo="skip",
    )


def _marks(
    table: SliceTable, shown: Sequence[SliceFigures], labels: Sequence[str], measure: str
) -> list[dict[str, Any]]:
    traces = []
    for says, (colour, symbol) in _LOOKS.items():
        rows = [
            (label, row, one, one.figure.value)
            for label, row in zip(labels, shown, strict=True)
            for one in (row.estimates[table.measures[0]],)
            if _verdict(one) == says and one.figure.value is not None
        ]
        if not rows:
            continue
        traces.append(
            points(
                x=[value for *_, value in rows],
                y=[label for label, *_ in rows],
                name=says,
                mode="markers",
                marker={"size": 11, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
                error_x=whiskers([value for *_, value in rows], [_ends(one) for _, _, one, _ in rows]),
                customdata=[
                    [
                        row.slice.where or "",
                        percent_fixed(value),
                        interval(one.figure.interval),
                        interval(one.random_range) if one.random_range else "too few photos",
                        escape_html(slice_name(table.field, row.slice)),
                        photo_count(row.images),
                    ]
                    for _, row, one, value in rows
                ],
                hovertemplate="%{customdata[4]}, %{customdata[5]}<br>"
                f"{escape_html(measure)} %{{customdata[1]}}, 95 %: %{{customdata[2]}}<br>"
                "as many random photos: %{customdata[3]}<extra></extra>",
            )
        )
    return traces


def _ends(one: SliceEstimate) -> tuple[float, ...]:
    if one.figure.value is None:
        return ()
    return one.figure.interval or (one.figure.value, one.figure.value)


def _csv(table: SliceTable, measure: str) -> str:
    main = table.measures[0]
    estimates = [row.estimates[main] for row in table.rows]
    return tables.estimates(
        table.field.label,
        [slice_name(table.field, row.slice) for row in table.rows],
        f"{measure} {tables.UNIT}",
        [one.figure for one in estimates],
        photos=[row.images for row in table.rows],
        **{
            f"random photos {end} {tables.UNIT}": [
                one.random_range[place] if one.random_range else None for one in estimates
            ]
            for place, end in enumerate(("from", "to"))
        },
    )
