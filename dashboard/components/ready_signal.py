"""An invisible component that signals when the browser has drawn the page."""

from collections.abc import Callable

import streamlit as st

from dashboard.components import plotlyjs
from dashboard.components.base import _text
from dashboard.settings import own_address

_drawn = st.components.v2.component("seglib_drawn", js=_text("ready_signal.js"))


def drawn(*, key: str, on_drawn: Callable[[], None]) -> None:
    """Call `on_drawn` once the images in view have loaded; shows nothing."""
    _drawn(key=key, data={"script": own_address(plotlyjs.address())}, height=1, on_drawn_change=on_drawn)
