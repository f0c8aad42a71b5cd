"""Try page: single photos, or the live view of a camera. It needs neither a run nor a store."""

import streamlit as st

from dashboard.components import layout
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.views.try_page import live, photos

MODES = {"photos": "Photos", "live": "Live camera"}
"""Value of the view field `try_mode` -> label."""


def render(settings: ServerSettings) -> None:
    with layout.heading(pages.TRY):
        key = session.sync_widget("w:try_mode", session.view().try_mode)
        st.segmented_control(
            "What to try the models on",
            list(MODES),
            required=True,
            format_func=lambda mode: MODES[mode],
            label_visibility="collapsed",
            key=key,
            on_change=session.widget_callback(key, _switch),
        )
    if session.view().try_mode == "live":
        live.render(settings)
    else:
        photos.render(settings)


def _switch(mode: str) -> None:
    photos.hold_uploads()  # the uploader is about to disappear with its files
    session.update_view(try_mode=mode)
