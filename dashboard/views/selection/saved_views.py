"""The menu of saved views: open, rename and delete them, and save what the page shows.

A view holds what a link to the page holds; opening one is like following that link, so what it names that is gone is
said by the page.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_markdown
from dashboard.queries.photos import Selection
from dashboard.queries.source import error_message
from dashboard.state import session
from dashboard.state.view import FIRST_PAGES, decode, describe_filter, encode
from seglib.errors import SegError, UsageError
from seglib.store.saved_views import saved_view
from seglib.store.saved_views.saved_view import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH, SavedView
from seglib.store.store import Store

_MENU, _NAME, _ABOUT = "views", "views:name", "views:about"
_RENAMED, _NEW_NAME, _NEW_ABOUT = "views:renamed", "views:new_name", "views:new_about"
_REMARK, _DELETED, _TAKEN = "views:remark", "views:deleted", "views:taken"

_MAX_SUMMARY = 140
"""Characters of the filters that the list shows of a view."""


def menu(selection: Selection) -> None:
    """Draw the button that opens the menu; its content is drawn while it is open."""
    popover = st.popover("Views", key=_MENU, on_change="rerun")
    if popover.open:
        with popover, st.container(key="views_list"):
            _outcome(selection.store)
            _list(selection)
            _save_form(selection.store)


def _outcome(store: Store) -> None:
    """Say what the last action did, and offer to undo it."""
    remark, deleted = st.session_state.pop(_REMARK, ""), st.session_state.get(_DELETED)
    if remark:
        layout.remark(remark)
    if deleted is not None:
        st.button(
            f"Undo: delete {escape_markdown(deleted.name)}",
            icon=":material/undo:",
            key="views:undo",
            on_click=_undo,
            args=(store,),
        )


# --- the list ----------------------------------------------------------------------------------------------------


def _list(selection: Selection) -> None:
    views, damaged = saved_view.list_views(selection.store), saved_view.find_damaged(selection.store)
    if not views:
        layout.remark("No view is saved in this store yet.")
    runs = {run.run for run in selection.store.runs()}
    for view in views:
        if st.session_state.get(_RENAMED) == view.name:
            _rename_form(selection.store, view)
        else:
            _entry(selection.store, view, runs)
    for sentence in damaged.values():
        layout.remark(error_message(SegError(sentence)))


def _entry(store: Store, view: SavedView, runs: set[str]) -> None:
    key = hashlib.sha256(view.name.encode()).hexdigest()[:12]
    with layout.entry(f"entry-view-{key}", gap="xsmall") as text:
        with text:
            st.button(
                escape_markdown(view.name), type="tertiary", key=f"views:open:{key}", on_click=_open, args=(view,)
            )
            layout.remarks([line for line in (view.description, _summarise(view, runs)) if line])
        for label, act in (("Rename", partial(_start_renaming, view)), ("Delete", partial(_delete, store, view))):
            st.button(label, key=f"views:{label.lower()}:{key}", type="tertiary", on_click=act)


def _summarise(view: SavedView, runs: set[str]) -> str:
    """Return the page and the filters of a view, and whether its run is gone, in one line."""
    linked, notes = decode(parse_qsl(view.query, keep_blank_values=True))
    filters = "; ".join(describe_filter(key, value) for key, value in linked.filters.items()) or "all photos"
    short = filters if len(filters) <= _MAX_SUMMARY else filters[:_MAX_SUMMARY] + "…"
    gone = "its run is no longer in this store" if linked.run and linked.run not in runs else ""
    wrong = "a part of it can no longer be read" if notes else ""
    return " · ".join(filter(None, (view.page, short, gone, wrong)))


def _open(view: SavedView) -> None:
    session.open_link(view.page or session.page(), parse_qsl(view.query, keep_blank_values=True))
    st.session_state[_MENU] = False


def _start_renaming(view: SavedView) -> None:
    st.session_state.update({_RENAMED: view.name, _NEW_NAME: view.name, _NEW_ABOUT: view.description})


def _rename_form(store: Store, view: SavedView) -> None:
    with st.form("views:rename", border=True):
        st.text_input("Name", key=_NEW_NAME, max_chars=MAX_NAME_LENGTH)
        st.text_input("Description", key=_NEW_ABOUT, max_chars=MAX_DESCRIPTION_LENGTH)
        with st.container(horizontal=True):
            st.form_submit_button("Rename", type="primary", key="views:do", on_click=_rename, args=(store, view))
            st.form_submit_button("Cancel", key="views:cancel", on_click=st.session_state.pop, args=(_RENAMED, None))


def _rename(store: Store, view: SavedView) -> None:
    name, about = st.session_state[_NEW_NAME], st.session_state[_NEW_ABOUT]
    if _try(lambda: saved_view.rename_view(store, view.name, name, about)):
        st.session_state.pop(_RENAMED, None)


def _delete(store: Store, view: SavedView) -> None:
    if _try(lambda: saved_view.delete_view(store, view.name)):
        st.session_state[_DELETED] = view


def _undo(store: Store) -> None:
    view = st.session_state.pop(_DELETED)
    _try(lambda: saved_view.save_view(store, view))


# --- saving ------------------------------------------------------------------------------------------------------


def _save_form(store: Store) -> None:
    with st.form("views:save", border=False):
        st.markdown("**Save what this page shows**")
        st.text_input("Name", key=_NAME, max_chars=MAX_NAME_LENGTH)
        st.text_input("Description", key=_ABOUT, max_chars=MAX_DESCRIPTION_LENGTH, placeholder="optional")
        st.form_submit_button("Save", type="primary", key="views:save:do", on_click=_save, args=(store,))
    if taken := st.session_state.get(_TAKEN):
        st.warning(f"There is a view “{escape_markdown(taken)}” already.")
        st.button("Replace it", key="views:replace", on_click=partial(_save, store, replace_existing=True))


def _save(store: Store, *, replace_existing: bool = False) -> None:
    name, about = st.session_state[_NAME], st.session_state[_ABOUT]
    st.session_state.pop(_TAKEN, None)
    if not replace_existing and _is_taken(store, name):
        st.session_state[_TAKEN] = name
        return
    view = SavedView(name=name, description=about, page=session.page(), query=_present_query())
    if _try(lambda: saved_view.save_view(store, view, replace_existing=replace_existing)):
        st.session_state.update({_NAME: "", _ABOUT: "", _REMARK: f"Saved “{saved_view.normalise_name(name)}”."})


def _is_taken(store: Store, name: str) -> bool:
    try:
        saved_view.find_view(store, name)
    except UsageError:
        return False
    except SegError:  # a damaged record, which is replaced knowingly, too
        return True
    return True


def _present_query() -> str:
    """Return the query of the page's URL without what belongs to this moment: pages of galleries, n, and a photo."""
    linked, _ = decode(session.linked_pairs())
    return urlencode(encode(replace(linked, image="", **FIRST_PAGES)))


def _try(act: Callable[[], object]) -> bool:
    """Do it, and return whether it succeeded; otherwise the menu says why not."""
    st.session_state.pop(_DELETED, None)
    try:
        act()
    except SegError as error:
        st.session_state[_REMARK] = error_message(error)
    except OSError as error:
        st.session_state[_REMARK] = f"The store cannot be written ({error.strerror}): nothing was changed."
    else:
        return True
    return False
