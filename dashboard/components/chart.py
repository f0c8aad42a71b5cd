"""A plotly chart that reports clicks and box selections, with a menu that saves it."""

from collections.abc import Callable

from dashboard.charts.theme import Figure
from dashboard.components import plotlyjs
from dashboard.components.base import component_value, figure_menu, register_component
from dashboard.settings import with_base_path

# Not isolated, since plotly.js adds its styles to the page.
_chart = register_component(
    "seglib_chart",
    css=["figure_menu.css"],
    js=["dom.js", "paper.js", "figure_menu.js", "chart.js"],
    isolate_styles=False,
)


def chart(
    figure: Figure, *, alt: str, key: str, boxes: bool = False, on_marks: Callable[[], None] | None = None
) -> None:
    """Draw a chart. `on_marks` runs after a click on a mark or, with `boxes`, a box selection: see `read_marks`."""
    data = {
        "figure": figure.to_json(validate=False),
        "height": figure.layout.height,
        "alt": alt,
        "boxes": boxes,
        "listens": on_marks is not None,
        "script": with_base_path(plotlyjs.address()),
        "menu": figure_menu(),
    }
    _chart(key=key, data=data, on_marks_change=on_marks or (lambda: None))


def read_marks(key: str) -> list[object] | None:
    """Return the data of the marks selected in the chart `key`, in a callback; empty after a double click.

    None if the message is malformed. The data comes from the browser and is not validated.
    """
    marks = component_value(key, "marks")
    return marks if isinstance(marks, list) else None
