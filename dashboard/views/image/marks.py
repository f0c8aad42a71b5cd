"""Row of the Image page that selects the photo, shows and changes its tags, and chooses the photos to step through.

Takes a `Selection`, the photo and how many photos its gallery holds. The functions are those of the selection bar.
"""

from functools import partial
from typing import Any

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.views.shared import selection_bar
from seglib.query.columns import split_tags
from seglib.store import tags


def render(selection: Selection, row: Any, gallery_size: int) -> None:
    """Draw the row. `row`: the photo's row of the run's table; `gallery_size`: photos of the gallery it is from."""
    image_id, remark = str(row["image_id"]), session.pop_remark()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="marks"):
        _select_box(image_id)
        selection_bar.tag_select(
            selection, "Tag this photo", partial(selection_bar.change_tag, selection.store, tags.tag, [image_id])
        )
        for name in split_tags(row["tags"]):
            st.button(
                f"{escape_markdown(name)} :material/close:",
                key=f"untag:{name}",
                help="Remove this tag from the photo",
                on_click=selection_bar.change_tag,
                args=(selection.store, tags.untag, [image_id], name),
            )
        selection_bar.undo_button(selection.store)
        if remark:
            layout.remark(remark)
        if session.picks():
            _steps_switch(gallery_size)


def _select_box(image_id: str) -> None:
    key = session.sync_widget("w:picked", bool(session.picks().picked_among([image_id])))
    st.checkbox(
        "Selected",
        key=key,
        help="Selected photos are tagged and exported together in the gallery, and can be stepped through here",
        on_change=session.widget_callback(key, partial(_select, image_id)),
    )


def _select(image_id: str, on: bool) -> None:
    session.set_picks(session.picks().with_page([image_id], [image_id] if on else []))


def _steps_switch(gallery_size: int) -> None:
    names = {False: f"Step through all {count(gallery_size)}", True: f"Selected {count(len(session.picks()))}"}
    key = session.sync_widget("w:steps", session.steps_picks())
    st.segmented_control(
        "Step through",
        list(names),
        required=True,
        format_func=lambda picked: names[picked],
        label_visibility="collapsed",
        key=key,
        on_change=session.widget_callback(key, session.set_steps_picks),
    )
