"""What a visitor without photos of one's own sees: the demo with one line above it, or that line alone."""

import streamlit as st

from dashboard.components import layout
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.state.shown_store import has_demo, has_run, is_demo

NOTHING_YET = "Nothing has been analysed yet: add photos of yours, and see what a segmentation model sees in them."
DEMO = "This is a demo on sample photos: add yours, and these pages show what a model sees in them."
DEMO_AGAIN = "This is the demo on sample photos; yours are kept apart from them."


def empty_page(title: str) -> None:
    """Draw a page for which there is neither a run nor the demo."""
    with layout.heading(title):
        pass
    with st.container(horizontal=True, vertical_alignment="center", key="demo"):
        st.markdown(NOTHING_YET, width="stretch")
        _add_button()


def demo_line(shown: ServerSettings) -> None:
    """Say above a page that it shows the demo, and how to begin or to go back; nothing above one's own photos."""
    own = ServerSettings.read()
    if not is_demo(shown.store, own):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="demo"):
        if has_run(own.store):
            st.markdown(DEMO_AGAIN, width="stretch")
            st.button("Back to my photos", key="leave_demo", on_click=session.show_demo, args=(False,))
        else:
            st.markdown(DEMO, width="stretch")
            _add_button()


def demo_button(own: ServerSettings) -> None:
    """Offer the demo to visitors whose pages show photos of their own."""
    if has_run(own.store) and has_demo(own):
        st.button("See the demo", key="see_demo", type="tertiary", on_click=session.show_demo, args=(True,))


def _add_button() -> None:
    st.button("Add photos", key="add_photos", type="primary", on_click=session.go_to_page, args=(pages.RUNS,))
