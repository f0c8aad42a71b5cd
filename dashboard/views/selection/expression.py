"""The text box for an expression, on top of the filters: Enter applies it, and a mistake is said beneath.

An applied expression is the filter `where` of the view. One with a mistake stays in the box and changes nothing.
"""

from functools import partial

import streamlit as st

from dashboard.components.base import component_value
from dashboard.components.expression.box import expression_box
from dashboard.queries.expressions import typed
from dashboard.queries.expressions.typed import WHERE
from dashboard.queries.source import RunSource
from dashboard.state import session

_KEY, _DRAFT, _ANSWERS = "expression", "_expression_draft", "_expression_answers"


def render(source: RunSource) -> None:
    applied = str(session.view().filters.get(WHERE, ""))
    text, mistake, instead_of = st.session_state.get(_DRAFT, (applied, None, applied))
    if instead_of != applied:  # another one has come by a link or a chip
        text, mistake = applied, None
    expression_box(
        text,
        applied,
        mistake,
        [] if mistake else typed.unknown_names(source, applied),
        typed.vocabulary(source),
        answers=st.session_state.get(_ANSWERS, 0),
        key=_KEY,
        on_apply=partial(_apply, source),
    )


def _apply(source: RunSource) -> None:
    """Callback: apply what was typed, or keep it with its mistake."""
    sent = component_value(_KEY, "applied")
    if not isinstance(sent, str):
        return
    text, view = sent.strip(), session.view()
    st.session_state[_ANSWERS] = st.session_state.get(_ANSWERS, 0) + 1
    mistake = typed.check(source, text) if text else None
    if mistake is not None:
        st.session_state[_DRAFT] = (text, mistake, str(view.filters.get(WHERE, "")))
        return
    st.session_state.pop(_DRAFT, None)
    session.set_view(view.with_filter(WHERE, typed.canonical(text) if text else None))
