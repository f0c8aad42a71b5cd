"""The live view of Try: one or two models on a camera's moving picture.

The browser and the live route talk to each other; this script runs again only for another model or palette, and for a
frame that the visitor keeps.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.components import live as live_component
from dashboard.components.viewer import ViewerRun
from dashboard.formatting import photo_count
from dashboard.server import live_route
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.views.shared import controls
from dashboard.views.try_page import photos
from dashboard.workers.uploads import MAX_PHOTO_BYTES, MAX_PHOTOS

LIVE = "try_live"
_COUNT = "try:kept"


def render(settings: ServerSettings) -> None:
    with layout.card("Your camera", "frames pass through this server's memory; nothing is stored", stretch=False):
        with st.container(horizontal=True, vertical_alignment="bottom", key="live_controls"):
            with st.container(width="stretch"):
                models, _ = photos.choose_models(settings, live_route.MAX_MODELS)
            controls.colours_select()
        view = session.view()
        held = photos.held_photos()
        live_component.live(
            [ViewerRun.create(model.id, model.title, model.classes, view.palette) for model in models],
            kept=st.session_state.get(_COUNT, 0),
            held=len(held),
            opacity=view.opacity,
            colours=view.palette,
            key=LIVE,
            on_keep=_keep_frame,
        )
        if held:
            with st.container(horizontal=True, vertical_alignment="center", key="live_kept"):
                layout.remark(f"{photo_count(len(held))} kept for this visit, in memory.")
                st.button("Show with all figures", key="show_kept", type="tertiary", on_click=_show_photos)


def _keep_frame() -> None:
    """Callback: put the frame that the browser sent among the visitor's photos."""
    frame = live_component.read_frame(LIVE, MAX_PHOTO_BYTES)
    number = st.session_state.get(_COUNT, 0) + 1
    st.session_state[_COUNT] = number  # also if it was refused: the browser waits for it
    if frame is not None and not photos.hold([(f"frame {number}.jpg", frame)]):
        session.add_notes([f"At most {MAX_PHOTOS} photos are kept for a visit: remove them under Photos."])


def _show_photos() -> None:
    session.update_view(try_mode="photos")
