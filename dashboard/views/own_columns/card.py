"""The card of own columns on Runs: which the store has, where they come from, and what adds, removes and undoes them.

All visitors may do so, as with tags.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown
from dashboard.queries.source import error_message
from dashboard.state import session
from dashboard.views.own_columns import upload
from seglib.errors import SegError
from seglib.store.own_columns import log
from seglib.store.own_columns.log import ColumnAction, ColumnInfo
from seglib.store.own_columns.options import TYPE_WORDS
from seglib.store.store import Store

_MANY = 6
"""With more columns than this, their list scrolls."""


def render(store: Store, version: str) -> None:
    try:
        columns, last = log.list_columns(store), log.last_action(store)
    except SegError as error:
        with layout.card("Your columns", stretch=False):
            st.error(escape_markdown(error_message(error)))
        return
    note = f"n = {count(len(columns))}; each is a filter, a sort order, and a column of the table and of every export"
    with layout.card("Your columns", note if columns else "What you know of the photos, from a file", stretch=False):
        upload.show_added()
        with st.container(height=420 if len(columns) > _MANY else "content", border=False):
            for column in columns:
                _entry(store, column)
        if last is not None:
            st.button(
                f"Undo: {escape_markdown(_describe(last))}",
                key="columns:undo",
                icon=":material/undo:",
                on_click=_undo,
                args=(store, last),
            )
        upload.render(store, version, expanded=False)


def _entry(store: Store, column: ColumnInfo) -> None:
    with layout.entry(f"column:{column.name}") as text:
        with text:
            values = [(TYPE_WORDS[column.type], "type"), (count(column.photos), "photos")]
            layout.facts(column.name, ", ".join(column.sources), values)
        st.button("Remove", key=f"column:remove:{column.name}", on_click=_remove, args=(store, column.name))


def _describe(action: ColumnAction) -> str:
    names = ", ".join(action.names[:3]) + (f" and {len(action.names) - 3} more" if len(action.names) > 3 else "")
    return f"add {names}" if action.kind == log.ADD else f"remove {names}"


def _remove(store: Store, name: str) -> None:
    try:
        log.remove(store, [name])
    except SegError as error:
        session.add_notes([error_message(error)])
    except OSError as error:
        session.add_notes([f"The store cannot be written ({error.strerror}): nothing was changed."])


def _undo(store: Store, action: ColumnAction) -> None:
    try:
        if log.undo(store, action.id) is None:
            session.add_notes(["This was already undone, or the store has been pruned since."])
    except SegError as error:
        session.add_notes([error_message(error)])
    except OSError as error:
        session.add_notes([f"The store cannot be written ({error.strerror}): nothing was changed."])
