"""An invisible component that signals when the browser has drawn the page."""

from collections.abc import Callable

from dashboard.components import plotlyjs
from dashboard.components.base import register_component
from dashboard.settings import with_base_path

_ready_signal = register_component("seglib_drawn", js=["ready_signal.js"])


def ready_signal(*, key: str, on_ready: Callable[[], None]) -> None:
    """Call `on_ready` once the images in view have loaded; shows nothing."""
    _ready_signal(key=key, data={"script": with_base_path(plotlyjs.address())}, height=1, on_drawn_change=on_ready)
