"""Bar of actions on the picked photos: add or remove a tag, export, undo.

Takes a `Selection` and the visitor's picks; also holds the gallery's callbacks. Tag changes are written to the store
immediately.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa
import streamlit as st

from dashboard.components import gallery as gallery_component
from dashboard.components import layout
from dashboard.components.gallery import PickState
from dashboard.formatting import count, escape_markdown, photo_count
from dashboard.queries import photos as photo_queries
from dashboard.queries import source
from dashboard.queries.images.picked import count_picked, tags_of_picks
from dashboard.queries.photos import Selection
from dashboard.queries.prepared.tables import prepared_table
from dashboard.state import session
from dashboard.state.picked_photos import Picks
from dashboard.views.shared import page_header
from seglib.errors import SegError
from seglib.store import tags
from seglib.store.store import Store
from seglib.store.tags import TagAction

_TAG = "w:new_tag"

MOST_PICKED = 1_000_000
"""Photos of a large run that can be picked at once: each takes 36 bytes of the visitor's session."""

_NO_CHANGE = (
    ("None of them has this tag.", "The photo does not have this tag."),
    ("All of them already have this tag.", "The photo already has this tag."),
)
"""What is said if a tag was to be removed or, second, added and nothing changed: of several photos, and of one."""


def pick_state(image_ids: list[str]) -> PickState:
    """Return the selection state that the gallery showing these images needs."""
    picks = session.picks()
    return PickState(n=session.last_message_number(), count=len(picks), on=picks.picked_among(image_ids))


def update_picks(gallery: str) -> None:
    """Callback: apply the photos picked or unpicked in this gallery."""
    if sent := gallery_component.read_picks(gallery):
        n, page_ids, picked = sent
        session.set_picks(Picks() if page_ids is None else session.picks().with_page(page_ids, picked), message=n)


def pick_all(selection: Selection) -> None:
    """Callback: add every photo that passes the filters to the picks."""
    if prepared := prepared_table(selection.source):
        if prepared.count(selection.filters) > MOST_PICKED:
            session.set_remark(f"At most {count(MOST_PICKED)} photos can be selected in a run of this size.")
        else:
            session.set_picks(session.picks().union(prepared.image_ids(selection.filters)))
        return
    positions = photo_queries.selected_positions(selection.source, selection.filters)
    session.set_picks(session.picks().union(photo_queries.table(selection.source)["image_id"].iloc[positions]))


def selection_bar(selection: Selection) -> None:
    """Draw the bar at the bottom of the window while photos are picked or a tag change can be undone."""
    picks, done, remark = session.picks(), session.tag_actions(), session.pop_remark()
    if not (picks or done or remark):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="picks"):
        if picks:
            _selection_summary(selection, picks)
            _tag_select(selection)
            _untag_menu(selection, picks)
            page_header.export_menu(selection, picks)
            st.button("Clear", key="clear_picks", type="tertiary", on_click=session.set_picks, args=(Picks(),))
        if remark:
            layout.remark(remark)
        undo_button(selection.store)


def undo_button(store: Store) -> None:
    """Draw the button that undoes the visitor's last tag action, if there is one."""
    if done := session.tag_actions():
        st.button(
            f"Undo: {escape_markdown(_describe_action(done[-1]))}",
            key="undo",
            icon=":material/undo:",
            on_click=_undo,
            args=(store,),
        )


def _selection_summary(selection: Selection, picks: Picks) -> None:
    inside = count_picked(selection.source, selection.filters, picks)
    outside = max(0, len(picks) - inside)
    note = f", {count(outside)} of them outside the filters" if outside else ""
    st.markdown(f"**{photo_count(len(picks))} selected**{note}", width="content")


def _tag_select(selection: Selection) -> None:
    tag_select(selection, "Tag the selected photos", partial(_tag_picks, selection.store, tags.tag))


def tag_select(selection: Selection, label: str, apply: Callable[[str | None], None]) -> None:
    """Draw the list of tags in use, to which a new one can be added; `apply` is called with the chosen one."""
    key = session.sync_widget(_TAG, None)
    st.selectbox(
        label,
        photo_queries.tags_in_use(selection.source),
        index=None,
        accept_new_options=True,
        placeholder="Tag: choose or type",
        label_visibility="collapsed",
        key=key,
        on_change=session.widget_callback(key, apply),
        width=210,
    )


def _untag_menu(selection: Selection, picks: Picks) -> None:
    counts = tags_of_picks(selection.source, picks)
    if not counts:
        return
    st.menu_button(
        "Remove tag",
        list(counts),
        format_func=lambda name: f"{escape_markdown(name)} · {count(counts.get(name, 0))}",
        key="remove_tag",
        on_click=session.widget_callback("remove_tag", partial(_tag_picks, selection.store, tags.untag)),
    )


def _tag_picks(store: Store, act: Callable[..., TagAction | None], name: str | None) -> None:
    """Tag the photos picked now, which may be others than when the bar was drawn: a rerun can overtake its drawing."""
    change_tag(store, act, session.picks().ids, name)


def change_tag(
    store: Store, act: Callable[..., TagAction | None], image_ids: pa.Array | Sequence[str], name: str | None
) -> None:
    """Callback: add a tag to these images or remove it (`act`: `tags.tag` or `tags.untag`); the visitor can undo it."""
    if not name:
        return
    try:
        done = act(store, image_ids, name)
    except SegError as error:
        session.set_remark(source.error_message(error))
    except OSError as error:
        session.set_remark(f"The store cannot be written ({error.strerror}): nothing was changed.")
    else:
        if done is None:
            session.set_remark(_NO_CHANGE[act is tags.tag][len(image_ids) == 1])
        else:
            session.tag_actions().append(done)


def _undo(store: Store) -> None:
    done = session.tag_actions().pop()
    try:
        if tags.undo(store, done.id) is None:
            session.set_remark("This was already undone, or the store has been pruned since.")
    except SegError as error:
        session.set_remark(source.error_message(error))
    except OSError as error:
        session.set_remark(f"The store cannot be written ({error.strerror}): nothing was changed.")


def _describe_action(action: TagAction) -> str:
    return f"{'tag' if action.on else 'remove'} {action.tag}, {photo_count(action.images)}"
