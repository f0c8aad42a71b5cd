"""What runs at each click: the visitor's view, the menu, the filter bar, and the page.

In: the URL, the store that the launcher named. Out: a page, or one sentence about what is in the way of one.
"""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard import data, session, sidebar, ui
from dashboard.data import Selection, Source
from dashboard.settings import Settings
from dashboard.state import fitted, query_params, with_run
from dashboard.views import explore, overview
from seglib.errors import SegError

VIEWS: dict[str, Callable[[Selection], None]] = {"Overview": overview.render, "Explore": explore.render}
"""Title in the menu -> how the page is drawn; the first is the home page."""

NO_RUN = (
    "This store holds no run yet, so there is nothing to show: make one with python -m seglib run FOLDER, "
    "or start python -m dashboard anew, which analyses the sample photos."
)


def main() -> None:
    st.set_page_config(page_title="Segmentation dashboard", layout="wide")
    ui.style()
    pages = {title: _page(title, default=title == next(iter(VIEWS))) for title in VIEWS}
    chosen = st.navigation(list(pages.values())).title
    session.pull(chosen)
    if (target := session.target()) in pages and target != chosen:
        st.switch_page(pages[str(target)], query_params=query_params(session.view()))
    try:
        _draw(Settings.read().store, chosen)
    except SegError as error:
        ui.failure(chosen, data.sentence(error))


def _draw(path: Path, title: str) -> None:
    store, version, runs = data.stored(path)
    if not runs:
        ui.nothing(title, NO_RUN)
        return
    view, run_notes = with_run(session.view(), [run.run for run in runs])
    sidebar.render_runs(runs, view.run)
    source = Source(str(path), version, view.run)
    view, notes = fitted(view, data.classes(source))
    session.settle(view)
    focus = view.focus or data.main_class(source, view.filters)
    sidebar.render_filters(source, focus)
    session.push()
    ui.tell([*session.notes(), *run_notes, *notes])
    run = next(run for run in runs if run.run == view.run)
    VIEWS[title](Selection(store, run, source, view, focus))


def _page(title: str, *, default: bool) -> "st.Page":
    return st.Page(lambda: None, title=title, url_path=title.lower(), default=default)


main()
