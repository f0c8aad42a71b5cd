"""One visitor's `View`, kept in step with the URL of the page; the only place that touches both.

In: the URL, callbacks of widgets. Out: the present view. The view is the truth: a widget is set from it before it is
drawn and changes it in its callback, so chips, clicks in charts, links and the browser's back button all agree.
Streamlit's own binding of widgets to the URL is not used: it forbids going to another page with new filters.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.state.picked_photos import Picks
from dashboard.state.view import FIRST_PAGES, View, decode, query_params
from seglib.query.filters import Filters
from seglib.store.tags import Action

_VIEW, _URL, _PAGE, _TOUCHED, _NOTES, _TARGET = "_view", "_url", "_page", "_touched", "_notes", "_target"
_PICKS, _MESSAGE, _ACTIONS, _REMARK = "_picks", "_message", "_actions", "_remark"
_CAN_CHART, _LATER, _HEADED = "_can_chart", "_later", "_headed"


def pull(page: str) -> None:
    """Take over the URL if the visitor came with a new one: a link, a reload, back or forward.

    A click in the page menu drops the query, and a rerun that a widget caused may still carry the URL from before the
    last one; neither says anything new.
    """
    state, now = st.session_state, _snapshot()
    state.pop(_HEADED, None)
    touched = state.pop(_TOUCHED, False)
    by_menu = page != state.get(_PAGE, page) and not now
    state[_PAGE] = page
    if _VIEW not in state or (now != state.get(_URL) and not by_menu and not touched):
        state[_VIEW], notes = decode((key, text) for key, texts in now.items() for text in texts)
        tell(notes)
    state[_URL] = now


def push() -> None:
    """Write the view into the URL."""
    want = query_params(view())
    if _snapshot() != _frozen(want):
        st.query_params.from_dict(want)
    st.session_state[_URL] = _snapshot()


def view() -> View:
    present: View = st.session_state[_VIEW]
    return present


def set_view(new: View) -> None:
    """From a callback: the visitor did something."""
    st.session_state[_VIEW] = new
    st.session_state[_TOUCHED] = True


def settle(new: View) -> None:
    """While the page is drawn: replace the view by what of it makes sense here."""
    st.session_state[_VIEW] = new


def change(**parts: Any) -> None:
    """`set_view` with some parts replaced; usable as a widget's callback."""
    set_view(replace(view(), **parts))


def anew(**parts: Any) -> None:
    """`change`, and every gallery begins at its first page, since it holds other photos or sorts them otherwise."""
    change(**parts | FIRST_PAGES)


def set_filters(filters: Filters) -> None:
    set_view(view().filtered(filters))


def open_page(title: str, filters: Filters) -> None:
    """From a callback: go to another page with these filters as soon as the pages are known."""
    set_filters(filters)
    st.session_state[_TARGET] = title


def open_run(title: str, run: str) -> None:
    """From a callback: go to another page with all photos of this run."""
    change(run=run)
    open_page(title, Filters())


def go(title: str, **parts: Any) -> None:
    """`change`, and go to another page as soon as the pages are known."""
    change(**parts)
    st.session_state[_TARGET] = title


def target() -> str | None:
    """The page that `open_page` asked for, once."""
    wanted: str | None = st.session_state.pop(_TARGET, None)
    return wanted


def head() -> None:
    """The page has its heading."""
    st.session_state[_HEADED] = True


def has_head() -> bool:
    """Whether the page that is being drawn has its heading already."""
    return _HEADED in st.session_state


def tell(notes: list[str]) -> None:
    """Keep sentences for the visitor until the page shows them."""
    st.session_state.setdefault(_NOTES, []).extend(notes)


def notes() -> list[str]:
    kept: list[str] = st.session_state.pop(_NOTES, [])
    return kept


def picks() -> Picks:
    """The photos that are picked; they stay so on all pages, and are no part of the URL."""
    present: Picks = st.session_state.get(_PICKS, Picks())
    return present


def set_picks(new: Picks, *, message: int | None = None) -> None:
    """From a callback; `message` is the number of what the browser said, if it was the browser."""
    st.session_state[_PICKS] = new
    if message is not None:
        st.session_state[_MESSAGE] = message


def message() -> int:
    """Number of the last thing that the browser said about picks."""
    number: int = st.session_state.get(_MESSAGE, 0)
    return number


def actions() -> list[Action]:
    """What this visitor has tagged and may take back, the last one at the end; to be changed in place."""
    done: list[Action] = st.session_state.setdefault(_ACTIONS, [])
    return done


def remark(sentence: str) -> None:
    """From a callback: what came of it, for the bar that it belongs to."""
    st.session_state[_REMARK] = sentence


def remarked() -> str:
    """The sentence of `remark`, once."""
    said: str = st.session_state.pop(_REMARK, "")
    return said


def controlled(key: str, value: object) -> str:
    """Set the widget `key` to what the view says; returns the key. To be called right before the widget."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return key


def on(key: str, apply: Callable[[Any], None]) -> Callable[[], None]:
    """A callback that hands the new value of the widget `key` to `apply`."""

    def changed() -> None:
        apply(st.session_state[key])

    return changed


def _snapshot() -> dict[str, tuple[str, ...]]:
    return {key: tuple(st.query_params.get_all(key)) for key in st.query_params}


def _frozen(params: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(texts) for key, texts in params.items()}


# --- the first page: its charts come last ------------------------------------------------------------------------


def can_chart() -> bool:
    """Whether this visitor's browser may have the script that draws charts, which stops it for a second as it comes."""
    return _CAN_CHART in st.session_state


def allow_charts() -> None:
    """From now on; usable as a callback."""
    st.session_state[_CAN_CHART] = True


@contextmanager
def charts_later(later: bool) -> Iterator[None]:
    """While it lasts, charts only keep their place, if `later`."""
    st.session_state[_LATER] = later
    try:
        yield
    finally:
        del st.session_state[_LATER]


def charts_wait() -> bool:
    return bool(st.session_state.get(_LATER, False))
