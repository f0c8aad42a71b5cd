"""Keep one visitor's `View` in sync with the page's URL; no other module writes either.

The view is the source of truth: widgets are set from it before they are drawn and change it in their callbacks, so that
chips, chart clicks, links and the browser's back button all agree. Streamlit's own binding of widgets to the URL is not
used, because it does not allow switching to another page with new filters.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.settings import ServerSettings
from dashboard.state import pages
from dashboard.state.picked_photos import Picks
from dashboard.state.selection_words import SelectionWords
from dashboard.state.shown_store import choose_store, has_demo, has_run
from dashboard.state.view import FIRST_PAGES, View, decode, query_params
from seglib.query.filters import Filters
from seglib.store.shown.server import write_picks
from seglib.store.tags import TagAction

_VIEW, _URL, _PAGE, _TOUCHED, _NOTES, _TARGET = "_view", "_url", "_page", "_touched", "_notes", "_target"
_PICKS, _MESSAGE, _ACTIONS, _REMARK = "_picks", "_message", "_actions", "_remark"
_STORE = "_store"
_CAN_CHART, _LATER, _HEADED, _STEPS_PICKS = "_can_chart", "_later", "_headed", "_steps_picks"
_PARTIAL = "_partial"
_WORDS = "_words"
_SHOWN = "_shown_notes"


def read_url(page: str) -> None:
    """Read the view from the URL if the visitor arrived with a new one: a link, a reload, back or forward.

    Two cases are not new URLs: a click in the page menu drops the query, and a rerun that a widget triggered may still
    carry the URL from before the previous rerun.
    """
    state, now = st.session_state, _snapshot()
    state.pop(_HEADED, None)
    state.pop(_PARTIAL, None)
    touched = state.pop(_TOUCHED, False)
    by_menu = page != state.get(_PAGE, page) and not now
    state[_PAGE] = page
    if _VIEW not in state or (now != state.get(_URL) and not by_menu and not touched):
        state[_VIEW], notes = decode((key, text) for key, texts in now.items() for text in texts)
        add_notes(notes)
    state[_URL] = now


def write_url(named: View | None = None) -> None:
    """Write the view to the URL; `named`: the same view, with what it leaves to the page named, and n."""
    want = query_params(named or replace(view(), n=0))
    if _snapshot() != _freeze(want):
        st.query_params.from_dict(want)
    st.session_state[_URL] = _snapshot()


def view() -> View:
    present: View = st.session_state[_VIEW]
    return present


def set_view(new: View) -> None:
    """Replace the view after a visitor's action; call from a callback."""
    st.session_state[_VIEW] = new
    st.session_state[_TOUCHED] = True


def adjust_view(new: View) -> None:
    """Replace the view while the page is drawn, with the parts dropped that do not apply here."""
    st.session_state[_VIEW] = new


def update_view(**parts: Any) -> None:
    """`set_view` with some fields replaced; usable as a widget callback."""
    set_view(replace(view(), **parts))


def update_from_first_page(**parts: Any) -> None:
    """`update_view`, and reset every gallery to its first page, since its photos or their order change."""
    update_view(**parts | FIRST_PAGES)


def set_filters(filters: Filters) -> None:
    set_view(view().with_filters(filters))


def open_page(title: str, filters: Filters) -> None:
    """Set the filters and switch to another page on the next run; call from a callback."""
    set_filters(filters)
    st.session_state[_TARGET] = title


def open_run(title: str, run: str, dataset: str = "") -> None:
    """Select a run of one's own store and switch to another page with all of its photos, or those of one dataset; call
    from a callback.
    """
    update_view(run=run, demo=False)
    open_page(title, Filters().replace("dataset", (dataset,)) if dataset else Filters())


def forget_run(run: str) -> None:
    """Stop naming a run that was deleted; call from a callback."""
    present = view()
    left = tuple(name for name in present.runs if name != run)
    named = {"run": present.run, "against": present.against}
    update_view(runs=left, **{field: "" if name == run else name for field, name in named.items()})


def go_to_page(title: str, **parts: Any) -> None:
    """`update_view`, and switch to another page on the next run."""
    update_view(**parts)
    st.session_state[_TARGET] = title


def open_photo(image_id: str, **parts: Any) -> None:
    """Show a photo on the Image page on the next run; call from a callback. `parts`: further fields of the view.

    If the photo is picked, the page steps through the picked photos.
    """
    set_steps_picks(bool(picks().picked_among([image_id])))
    go_to_page(pages.IMAGE, image=image_id, **parts)


def linked_pairs() -> list[tuple[str, str]]:
    """Return the (key, text) pairs of the page's URL as it was last drawn: all that a link to it holds."""
    return [(key, text) for key, texts in st.session_state.get(_URL, {}).items() for text in texts]


def open_link(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Show what a link to this page holds on the next run; call from a callback."""
    new, notes = decode(pairs)
    set_view(new)
    add_notes(notes)
    st.session_state[_TARGET] = title


def page() -> str:
    """Return the title of the page that is shown."""
    title: str = st.session_state[_PAGE]
    return title


def pop_target_page() -> str | None:
    """Return and clear the page requested by `open_page`, `open_run` or `go_to_page`."""
    wanted: str | None = st.session_state.pop(_TARGET, None)
    return wanted


def mark_heading_drawn() -> None:
    """Record that the page's heading has been drawn."""
    st.session_state[_HEADED] = True


def heading_drawn() -> bool:
    """Return whether the heading of the current page has been drawn."""
    return _HEADED in st.session_state


def set_partial_note(sentence: str) -> None:
    """Store why the figures of the current page are not final, for its heading; empty if they are."""
    st.session_state[_PARTIAL] = sentence


def partial_note() -> str:
    note: str = st.session_state.get(_PARTIAL, "")
    return note


def shown_settings() -> ServerSettings:
    """Return the server's settings with the store that the pages about photos show: one's own or the demo's."""
    return choose_store(ServerSettings.read(), wants_demo=view().demo)


def fit_demo() -> None:
    """Drop the demo from the view where it is shown anyway, or cannot be shown."""
    settings = ServerSettings.read()
    if not view().demo or (has_run(settings.store) and has_demo(settings)):
        return
    adjust_view(replace(view(), demo=False))
    if not has_demo(settings):
        add_notes(["There is no demo here."])


def enter_store(store: Path, runs: Sequence[str]) -> None:
    """Forget what belongs to another store: picked photos, what can be undone, and a run that is not in this one."""
    if st.session_state.get(_STORE, store) != store:
        for key in (_PICKS, _ACTIONS, _REMARK):
            st.session_state.pop(key, None)
        if view().run not in runs:
            adjust_view(replace(view(), run="", runs=(), against="", truth=""))
    st.session_state[_STORE] = store


def show_demo(demo: bool) -> None:
    """Switch to the demo, or back to one's own photos, with nothing filtered; call from a callback."""
    set_view(View(demo=demo, palette=view().palette))
    st.session_state[_TARGET] = pages.OVERVIEW


def add_notes(notes: list[str]) -> None:
    """Queue notes for the visitor until the page shows them."""
    st.session_state.setdefault(_NOTES, []).extend(notes)


def keep_notes(notes: list[str]) -> None:
    """Remember the notes that the page shows, for a rerun that only adds its charts."""
    st.session_state[_SHOWN] = notes


def pop_notes() -> list[str]:
    notes: list[str] = st.session_state.pop(_NOTES, [])
    return notes


def set_selection_words(words: SelectionWords) -> None:
    """Say what the photos and the run of the page that is being drawn are called."""
    st.session_state[_WORDS] = words


def set_run_words(runs: str) -> None:
    """Say what the runs of the page that is being drawn are called, if it is about others than the active run."""
    set_selection_words(replace(selection_words(), runs=runs))


def selection_words() -> SelectionWords:
    present: SelectionWords = st.session_state.get(_WORDS, SelectionWords())
    return present


def picks() -> Picks:
    """Return the picked photos; they persist across pages and are not part of the URL."""
    present: Picks = st.session_state.get(_PICKS, Picks())
    return present


def set_picks(new: Picks, *, message: int | None = None) -> None:
    """Replace the picked photos; call from a callback. `message`: number of the browser's message, if it sent them.

    A dashboard that `Store.show` has started keeps them for `Store.selection`, too.
    """
    st.session_state[_PICKS] = new
    if file := ServerSettings.read().picks_file:
        write_picks(file, new.ids)
    if message is not None:
        st.session_state[_MESSAGE] = message


def steps_picks() -> bool:
    """Return whether the Image page steps through the picked photos instead of the gallery's."""
    return bool(st.session_state.get(_STEPS_PICKS)) and len(picks()) > 0


def set_steps_picks(on: bool) -> None:
    st.session_state[_STEPS_PICKS] = on


def last_message_number() -> int:
    """Return the number of the browser's last message about picks."""
    number: int = st.session_state.get(_MESSAGE, 0)
    return number


def tag_actions() -> list[TagAction]:
    """Return the tag actions that this visitor can undo, the latest last; the list is modified in place."""
    done: list[TagAction] = st.session_state.setdefault(_ACTIONS, [])
    return done


def set_remark(sentence: str) -> None:
    """Store the outcome of an action for the bar that shows it; call from a callback."""
    st.session_state[_REMARK] = sentence


def pop_remark() -> str:
    """Return and clear the sentence stored by `set_remark`."""
    sentence: str = st.session_state.pop(_REMARK, "")
    return sentence


def sync_widget(key: str, value: object) -> str:
    """Set the widget `key` to its value in the view and return the key; call right before the widget."""
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return key


def widget_callback(key: str, apply: Callable[[Any], None]) -> Callable[[], None]:
    """Return a callback that passes the new value of the widget `key` to `apply`."""

    def changed() -> None:
        apply(st.session_state[key])

    return changed


def _snapshot() -> dict[str, tuple[str, ...]]:
    return {key: tuple(st.query_params.get_all(key)) for key in st.query_params}


def _freeze(params: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(texts) for key, texts in params.items()}


# --- the first page: its charts come last ------------------------------------------------------------------------


def charts_allowed() -> bool:
    """Return whether this browser may load the chart script, which blocks it for about a second."""
    return _CAN_CHART in st.session_state


def allow_charts() -> None:
    """Allow charts from now on; usable as a callback."""
    st.session_state[_CAN_CHART] = True


def add_charts() -> None:
    """Callback: draw the page again, this time with its charts and the same notes."""
    allow_charts()
    add_notes(st.session_state.pop(_SHOWN, []))


@contextmanager
def defer_charts(defer: bool) -> Iterator[None]:
    """Context manager: if `defer`, charts inside it only reserve their space."""
    st.session_state[_LATER] = defer
    try:
        yield
    finally:
        del st.session_state[_LATER]


def charts_deferred() -> bool:
    return bool(st.session_state.get(_LATER, False))
