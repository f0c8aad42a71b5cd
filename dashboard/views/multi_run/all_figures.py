"""The part of Compare and Evaluate that is drawn only when a visitor asks for it."""

from collections.abc import Callable

import streamlit as st

from dashboard.state import session

_KEY = "w:all_figures"


def all_figures(contents: str, draw: Callable[[], None]) -> None:
    """Draw an expander; `draw` is called only while it is open. `contents`: what is in it, as text."""
    key = session.sync_widget(_KEY, session.view().all_figures)
    place = st.expander(
        f"**All figures**: {contents}",
        key=key,
        on_change=session.widget_callback(key, lambda is_open: session.update_view(all_figures=bool(is_open))),
    )
    if place.open:
        with place:
            draw()
