"""Bar of actions on the picked photos: add or remove a tag, export, undo.

Takes a `Selection` and the visitor's picks; also holds the gallery's callbacks. Tag changes are written to the store
immediately.
"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard.components import gallery as gallery_component
from dashboard.components import layout
from dashboard.components.gallery import Picked
from dashboard.formatting import count, photos, plain_markdown
from dashboard.queries import exports, source
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.state.picked_photos import Picks
from seglib.errors import SegError
from seglib.store import tags
from seglib.store.store import Store
from seglib.store.tags import Action

_TAG = "w:new_tag"


def told(image_ids: list[str]) -> Picked:
    """Return the selection state that the gallery showing these images needs."""
    picks = session.picks()
    return Picked(n=session.message(), count=len(picks), on=picks.on(image_ids))


def pick(gallery: str) -> None:
    """Callback: apply the photos picked or unpicked in this gallery."""
    if said := gallery_component.picks_of(gallery):
        n, shown, picked = said
        session.set_picks(Picks() if shown is None else session.picks().replaced(shown, picked), message=n)


def pick_all(selection: Selection) -> None:
    """Callback: add every photo that passes the filters to the picks."""
    positions = photo_queries.selected(selection.source, selection.filters)
    session.set_picks(session.picks().plus(photo_queries.table(selection.source)["image_id"].iloc[positions]))


def bar(selection: Selection) -> None:
    """Draw the bar at the bottom of the window while photos are picked or a tag change can be undone."""
    picks, done, remark = session.picks(), session.actions(), session.remarked()
    if not (picks or done or remark):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="picks"):
        if picks:
            _say(selection, picks)
            _tag(selection, picks)
            _untag(selection, picks)
            st.download_button(
                "Export",
                data=partial(exports.exported_picks, selection.store.path, selection.run.run, picks),
                file_name=f"{selection.run.run}.selected.csv",
                mime="text/csv",
                key="export_picks",
                help="The statistics of the selected photos as CSV",
                on_click="ignore",
            )
            st.button("Clear", key="clear_picks", type="tertiary", on_click=session.set_picks, args=(Picks(),))
        if remark:
            layout.remark(remark)
        if done:
            st.button(
                f"Undo: {plain_markdown(_words(done[-1]))}",
                key="undo",
                icon=":material/undo:",
                on_click=_undo,
                args=(selection.store,),
            )


def _say(selection: Selection, picks: Picks) -> None:
    inside = photo_queries.picked_rows(selection.source, selection.filters, picks)
    outside = max(0, len(picks) - inside)
    note = f", {count(outside)} of them outside the filters" if outside else ""
    st.markdown(f"**{photos(len(picks))} selected**{note}", width="content")


def _tag(selection: Selection, picks: Picks) -> None:
    key = session.controlled(_TAG, None)
    st.selectbox(
        "Tag the selected photos",
        photo_queries.tags_in_use(selection.source),
        index=None,
        accept_new_options=True,
        placeholder="Tag: choose or type",
        label_visibility="collapsed",
        key=key,
        on_change=session.on(key, partial(_act, selection.store, tags.tag, picks)),
        width=210,
    )


def _untag(selection: Selection, picks: Picks) -> None:
    found = photo_queries.tags_of_picks(selection.source, picks)
    if not found:
        return
    st.menu_button(
        "Remove tag",
        list(found),
        format_func=lambda name: f"{plain_markdown(name)} · {count(found.get(name, 0))}",
        key="remove_tag",
        on_click=session.on("remove_tag", partial(_act, selection.store, tags.untag, picks)),
    )


def _act(store: Store, act: Callable[..., Action | None], picks: Picks, name: str | None) -> None:
    if not name:
        return
    try:
        done = act(store, picks.ids, name)
    except SegError as error:
        session.remark(source.sentence(error))
    except OSError as error:
        session.remark(f"The store cannot be written ({error.strerror}): the photos are as they were.")
    else:
        if done is None:
            session.remark("All of them have this tag already." if act is tags.tag else "None of them has this tag.")
        else:
            session.actions().append(done)


def _undo(store: Store) -> None:
    done = session.actions().pop()
    try:
        if tags.undo(store, done.id) is None:
            session.remark("This was undone already, or the store was pruned since.")
    except SegError as error:
        session.remark(source.sentence(error))
    except OSError as error:
        session.remark(f"The store cannot be written ({error.strerror}): the photos are as they were.")


def _words(action: Action) -> str:
    return f"{'tag' if action.on else 'remove'} {action.tag}, {photos(action.images)}"
