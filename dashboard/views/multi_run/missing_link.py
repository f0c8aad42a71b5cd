"""What a page shows of a link that names a run that is gone, or that was made when more or fewer photos were counted.

A page shows the sentence and offers the choice of runs, never the figures of other runs.
"""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_markdown, photo_count, run_labels
from dashboard.state import pages, session
from dashboard.state.links import describe_changed_n, describe_missing
from dashboard.views.shared import controls
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.store.records import Run


def show_missing_runs(title: str, gone: Sequence[str], runs: Sequence[Run]) -> None:
    """Draw a page that says which runs of its link are gone, with the choice of those that are there (newest last)."""
    with layout.heading(title):
        pass
    st.error(escape_markdown(describe_missing("run", gone)))
    names, labels = [run.run for run in reversed(runs)], run_labels(runs)
    if title in (pages.COMPARE, pages.EVALUATE):
        view = session.view()
        of_link = (view.run, view.against, *view.runs) if title == pages.COMPARE else (view.run, *view.runs)
        named = [name for name in dict.fromkeys(of_link) if name in names]
        controls.choose_runs(
            "Runs of this store",
            names,
            named,
            lambda name: labels[name],
            _show_runs,
            key="w:instead",
            limit=MAX_COMPARED_RUNS,
        )
        return
    st.selectbox(
        "Runs of this store",
        names,
        index=None,
        placeholder="Choose a run",
        format_func=lambda name: labels[name],
        key="w:instead",
        on_change=session.widget_callback("w:instead", lambda name: _show_runs([name] if name else [])),
        width=420,
    )


def _show_runs(chosen: list[str]) -> None:
    """Callback: show these runs; those of the link that are there keep their sides."""
    view = session.view()
    if not chosen:
        return
    a = view.run if view.run in chosen else chosen[0]
    session.update_from_first_page(
        run=a,
        runs=tuple(sorted(chosen)) if len(chosen) > 1 else (),
        against=view.against if view.against in chosen and view.against != a else "",
    )


def note_changed_n(n: int) -> None:
    """Say if the link counted another number of photos than these `n`."""
    sentence = describe_changed_n(session.view().n, n)
    if sentence:
        with st.container(horizontal=True, vertical_alignment="center", key="changed_n"):
            st.warning(sentence)
            st.button(f"Continue with {photo_count(n)}", key="go_on", on_click=session.update_view, kwargs={"n": 0})
