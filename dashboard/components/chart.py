"""A plotly chart that reports clicks and boxes."""

from collections.abc import Callable

import streamlit as st

from dashboard.charts.theme import Figure
from dashboard.components import plotlyjs
from dashboard.components.base import _text, said
from dashboard.settings import own_address

_chart = st.components.v2.component("seglib_chart", js=_text("chart.js"), isolate_styles=False)  # plotly has styles


def chart(
    figure: Figure, *, alt: str, key: str, boxes: bool = False, on_marks: Callable[[], None] | None = None
) -> None:
    """A chart. `on_marks` is called after a click on a mark, or (`boxes`) a box drawn around marks: see `marks_of`."""
    data = {
        "figure": figure.to_json(validate=False),
        "height": figure.layout.height,
        "alt": alt,
        "boxes": boxes,
        "listens": on_marks is not None,
        "script": own_address(plotlyjs.address()),
    }
    _chart(key=key, data=data, on_marks_change=on_marks or (lambda: None))


def marks_of(key: str) -> list[object] | None:
    """What the marks chosen in the chart `key` carry, in a callback; none after a double click that clears it.

    None if it makes no sense; what they carry comes from the browser and is not checked.
    """
    marks = said(key, "marks")
    return marks if isinstance(marks, list) else None
