"""Evaluate page: runs against ground truth over the selected photos.

Takes a `Selection`. All figures come from counts in the store, so changing a filter reads no masks.
"""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, photos, plain_markdown
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.views.evaluate import cards, counting, gallery
from dashboard.views.evaluate.selection import Graded, graded
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MOST_COMPARED
from seglib.query.filters import Filters

TITLE = "Evaluate"
NO_TRUTH = (
    "This store holds no ground truth yet: masks that people drew, one PNG per photo, called as their photos. "
    "Choose their folder here, or: python -m seglib evaluate --truth FOLDER"
)
TABLES = {
    "runs": "Every run, whole and per folder label: all figures with their intervals",
    "images": "Every photo and run: all measures, worst first",
    "confusion": "Every run's confusion matrix: truth, prediction, pixels",
}


def render(selection: Selection) -> None:
    shown = graded(selection)
    if shown is None:
        with layout.heading(TITLE):
            page_header.copy_link(selection)
        st.info(plain_markdown(NO_TRUTH))
        counting.watch(selection)
        counting.render(selection, None)
        return

    def ask() -> object:
        return shown.photos and _is_counted(shown)

    if not page_header.head(TITLE, selection, ask, leaving=partial(_leaving, shown), choice=partial(_choose, shown)):
        return
    layout.chips(selection.filters)
    counting.watch(selection)
    if page_header.is_empty(selection):
        return
    if not shown.photos:
        _nothing(shown)
        return
    _remarks(shown)
    cards.key_figures(shown)
    _cards(shown)
    gallery.render(shown)
    selection_bar.bar(selection)


def _remarks(shown: Graded) -> None:
    selected = len(photo_queries.selected(shown.selection.source, shown.selection.filters))
    n = photos(selected) if shown.photos == selected else f"{count(shown.photos)} of {photos(selected)}"
    said = [
        f"{shown.labels[shown.main.run]} against {shown.about.name} ({shown.about.format}), n = {n} with a mask of the "
        f"truth{' in every run shown' if len(shown.runs) > 1 else ''}; 95 % bootstrap intervals over photos."
    ]
    if shown.main.run != shown.selection.run.run:
        said.append("The active run is not evaluated against this truth, so another one is shown.")
    layout.remarks([*said, *shown.found.notes])


def _nothing(shown: Graded) -> None:
    if not shown.runs:
        st.info(f"No run is evaluated against {plain_markdown(shown.about.name)} yet: choose its folder above.")
    else:
        st.info(
            f"None of the selected photos has a mask of {plain_markdown(shown.about.name)} in all of these runs: take "
            "a filter or a run away, or choose another truth."
        )


def _cards(shown: Graded) -> None:
    if len(shown.runs) > 1:
        cards.runs(shown)
    left, right = st.columns([3, 2])
    with left:
        cards.confusion(shown)
    with right:
        cards.reliability(shown)
    if len(shown.answer("labels")) < 2:
        cards.classes(shown)
        return
    left, right = st.columns([7, 4])
    with left:
        cards.classes(shown)
    with right:
        cards.labels(shown)


# --- which truth, which runs -------------------------------------------------------------------------------------


def _choose(shown: Graded) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="evaluate_controls"):
        names = {one.id: _named(shown, one.id) for one in shown.known}
        key = session.controlled("w:truth", shown.about.id)
        st.selectbox(
            "Ground truth",
            list(names),
            format_func=lambda truth: names[truth],
            key=key,
            on_change=session.on(key, lambda truth: session.anew(truth=truth, cell=())),
            width=260,
        )
        if len(shown.having) > 1:
            _choose_runs(shown)
        with st.popover("New evaluation", help="Of more runs, or against other masks"):
            counting.render(shown.selection, shown)


def _named(shown: Graded, truth: str) -> str:
    """Return the ground truth's name, with its id if the name is ambiguous."""
    one = next(one for one in shown.known if one.id == truth)
    same = [other for other in shown.known if other.name == one.name]
    return f"{one.name} · {one.format}" + (f" · {one.id}" if len(same) > 1 else "")


def _choose_runs(shown: Graded) -> None:
    names = [run.run for run in shown.having]
    controls.choose_runs(
        "Runs",
        names,
        [run.run for run in shown.runs],
        lambda name: shown.labels[name],
        partial(_take_runs, shown.selection.run.run, names),
        key="w:graded",
        most=MOST_COMPARED,
    )


def _take_runs(active: str, names: list[str], chosen: list[str]) -> None:
    """Apply the chosen runs; choosing all is the default, and the active run stays if it is evaluated."""
    wanted = set(chosen) | ({active} & set(names))
    session.anew(runs=() if wanted == set(names) or not wanted else tuple(sorted(wanted)))


def _is_counted(shown: Graded) -> bool:
    """Return whether the runs are also compared with each other, which a report on several runs needs."""
    names = [run.run for run in shown.runs]
    return (
        len(names) == 1
        or not comparison_queries.uncounted(comparison_queries.compared(shown.selection.source, names, Filters()))[1]
    )


# --- what can be taken along -------------------------------------------------------------------------------------


def _leaving(shown: Graded) -> None:
    if not shown.photos:
        return
    if shown.main == shown.selection.run and _is_counted(shown):
        page_header.report_button(shown.selection, [run.run for run in shown.runs], truth=shown.about.id)
    page_header.tables(TABLES, partial(evaluation_queries.exported, shown.asked), name="evaluate")
