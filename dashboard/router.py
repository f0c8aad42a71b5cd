"""The script that Streamlit runs on every interaction: view, menu, filter bar and the selected page.

Reads the URL and the store from the settings; draws a page, or one sentence that says why it cannot be drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import run_labels
from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.expressions.typed import fit_expression
from dashboard.queries.own_columns.values import fit_to_columns
from dashboard.queries.photos import Selection
from dashboard.queries.prepared.tables import prepared_source
from dashboard.queries.source import (
    RunSource,
    damaged_measures,
    error_message,
    open_store,
    photo_query,
    unreadable_runs,
)
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.state.links import fit_to_runs, missing_runs
from dashboard.state.selection_words import describe_selection
from dashboard.state.view import View, fit_to_classes, query_params
from dashboard.views import datasets, explore, overview, progress_bar, sidebar
from dashboard.views.add_photos import welcome
from dashboard.views.compare import page as compare_page
from dashboard.views.compare.selection import compared_runs
from dashboard.views.evaluate import page as evaluate_page
from dashboard.views.image import page as image_page
from dashboard.views.multi_run import missing_link
from dashboard.views.prepared import table_progress
from dashboard.views.runs import page as runs_page
from dashboard.views.similar import page as similar_page
from dashboard.views.try_page import page as try_page
from dashboard.workers.jobs import Job
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError, StoreError
from seglib.store.records import Run

VIEWS: dict[str, Callable[[Selection], None]] = {
    pages.OVERVIEW: overview.render,
    pages.EXPLORE: explore.render,
    pages.IMAGE: image_page.render,
    pages.SIMILAR: similar_page.render,
    pages.COMPARE: compare_page.render,
    pages.EVALUATE: evaluate_page.render,
}
"""Title in the menu -> function that draws a page about a run's photos; the first is the home page."""

NAMING = (pages.COMPARE, pages.EVALUATE)
"""Pages that write the URL themselves, once they know all that they show."""

TOOLS: dict[str, Callable[[ServerSettings], None]] = {pages.TRY: try_page.render, pages.RUNS: runs_page.render}
"""Title in the menu -> function that draws a page without a run or a store; listed after the others."""

ICON = Path(__file__).with_name("icon.svg")


def main() -> None:
    all_pages = {title: _page(title, default=title == next(iter(VIEWS))) for title in (*VIEWS, *TOOLS)}
    chosen = st.navigation(list(all_pages.values())).title
    st.set_page_config(page_title=layout.page_title(chosen), page_icon=ICON, layout="wide")
    layout.load_style()
    session.read_url(chosen)
    if (target := session.pop_target_page()) in all_pages and target != chosen:
        st.switch_page(all_pages[str(target)], query_params=query_params(session.view()))
    try:
        live = progress_bar.render(ServerSettings.read(), chosen)
        if chosen in TOOLS:
            session.write_url()  # keep the view in the URL for when the visitor returns
            layout.show_notes(session.pop_notes())
            datasets.missing_folders(ServerSettings.read())
            TOOLS[chosen](ServerSettings.read())
        else:
            session.fit_demo()
            settings = session.shown_settings()
            _render_view(settings, chosen, live if settings.store == ServerSettings.read().store else [])
    except SegError as error:
        layout.failure_page(chosen, error_message(error), to="" if chosen in TOOLS else pages.RUNS)


def _render_view(settings: ServerSettings, title: str, live: Sequence[Job]) -> None:
    """`live`: the jobs that write to the store that is shown."""
    path = settings.store
    if not (path / STORE_MARKER).is_file():
        welcome.empty_page(title)
        return
    store, version, store_runs = open_store(path)
    unreadable = unreadable_runs(store)
    if not store_runs and unreadable:
        raise StoreError(unreadable[0])
    if not store_runs:
        welcome.empty_page(title)
        return
    names = [run.run for run in store_runs]
    session.enter_store(path, names)
    if gone := missing_runs(session.view(), title, names):
        session.write_url(session.view())  # as it is
        layout.show_notes(session.pop_notes())
        missing_link.show_missing_runs(title, gone, store_runs)
        return
    view, run_notes = fit_to_runs(session.view(), names)
    if title != pages.IMAGE:  # set again when a photo is opened from a gallery
        view = replace(view, origin="")
    sidebar.render_runs(store_runs, view.run)
    source, table_state = prepared_source(RunSource(str(path), version, view.run))
    if table_state is not None and not table_progress.render(source, table_state, run_labels(store_runs)[view.run]):
        return
    view, notes = fit_to_classes(view, photo_queries.classes(source))
    view, more_notes = fit_expression(view, source)
    view, column_notes = fit_to_columns(view, source)
    session.adjust_view(view)
    datasets_here, label = photo_queries.options(source, "dataset"), run_labels(store_runs)[view.run]
    session.set_selection_words(describe_selection(view.filters, datasets_here, label))
    focus = view.focus or photo_statistics.main_class(photo_query(source, view.filters))
    if title not in NAMING:
        session.write_url()
    unreadable += damaged_measures(source)
    every = [*session.pop_notes(), *unreadable, *run_notes, *notes, *more_notes, *column_notes]
    shown = list(dict.fromkeys(every))
    session.keep_notes(shown)
    layout.show_notes(shown)
    datasets.missing_folders(settings)
    welcome.demo_line(settings)
    run = next(run for run in store_runs if run.run == view.run)
    session.set_partial_note(_partial_note(title, view, store_runs, live))
    try:
        VIEWS[title](Selection(store, run, source, view, focus))
    finally:  # last, since the browser draws in this order and figures and photos matter more
        sidebar.render_filters(source, focus)


def _partial_note(title: str, view: View, store_runs: Sequence[Run], live: Sequence[Job]) -> str:
    """Say that figures of this page are partial, because a run that it shows is still being computed."""
    if title in (pages.OVERVIEW, pages.EXPLORE):
        return progress_bar.partial_note(live, {view.run})
    if title == pages.COMPARE:
        shown = compared_runs(view, view.run, [run.run for run in reversed(store_runs)])
    elif title == pages.EVALUATE:
        shown = [view.run, *view.runs]
    else:
        return ""
    labels = run_labels(store_runs)
    notes = (progress_bar.partial_note(live, {name}, labels[name]) for name in shown)
    return next(filter(None, notes), "")


def _page(title: str, *, default: bool) -> "st.Page":
    return st.Page(lambda: None, title=title, url_path=title.lower(), default=default)


main()
