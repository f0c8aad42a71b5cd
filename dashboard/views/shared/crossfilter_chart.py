"""Charts whose marks filter the other charts and the gallery."""

from collections.abc import Callable, Collection
from functools import partial

import streamlit as st

from dashboard.charts.theme import DrawChart, Figure
from dashboard.components import chart as chart_component
from dashboard.state import crossfilter, session
from dashboard.state.crossfilter import RangeKinds


def crossfilter_chart(
    name: str,
    draw: DrawChart,
    keys: Collection[str],
    *,
    alt: str,
    boxes: bool = False,
    ranges: RangeKinds = crossfilter.NO_RANGES,
) -> None:
    """Draw a chart whose marks set filters, by a click or (`boxes`) by a box selection.

    `draw` builds the figure given the chart's own filters, those with these `keys`; none: no highlight. `ranges`: see
    `crossfilter.RangeKinds`.
    """

    def apply_choice(marks: list[object]) -> None:
        before = session.view().filters
        now = crossfilter.apply_marks(marks, keys, before, ranges)
        if now != before:
            session.set_filters(now)

    plot(name, draw(crossfilter.only_keys(session.view().filters, keys)), alt=alt, on_marks=apply_choice, boxes=boxes)


def plot(
    name: str,
    figure: Figure,
    *,
    alt: str,
    on_marks: Callable[[list[object]], None] | None = None,
    boxes: bool = False,
) -> None:
    """Draw a chart.

    `on_marks` receives the data of the marks that were clicked (with `boxes`: boxed); empty on a double click.
    """
    if session.charts_deferred():
        st.html(f"<div class='chart-place' style='height: {figure.layout.height}px'></div>")
        return
    session.allow_charts()
    key = f"chart:{name}"

    def forward_marks(act: Callable[[list[object]], None]) -> None:
        if (marks := chart_component.read_marks(key)) is not None:
            act(marks)

    chart_component.chart(figure, key=key, alt=alt, boxes=boxes, on_marks=on_marks and partial(forward_marks, on_marks))
