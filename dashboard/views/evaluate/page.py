"""Evaluate page: runs against ground truth over the selected photos.

Takes a `Selection`. All figures come from counts in the store, so changing a filter reads no masks.
"""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, photo_count
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.views.evaluate import cards, counting, gallery
from dashboard.views.evaluate.selection import EvaluationSelection, select_evaluation
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.query.filters import Filters

NO_TRUTH = (
    "This store holds no ground truth yet: masks that people drew, one PNG per photo and named like it. "
    "Choose their folder here, or: python -m seglib evaluate --truth FOLDER"
)
TABLES = {
    "runs": "Every run, whole and per folder label: all figures with their intervals",
    "images": "Every photo and run: all measures, worst first",
    "confusion": "Every run's confusion matrix: truth, prediction, pixels",
}


def render(selection: Selection) -> None:
    shown = select_evaluation(selection)
    if shown is None:
        with layout.heading(pages.EVALUATE):
            page_header.copy_link(selection)
        st.info(escape_markdown(NO_TRUTH))
        counting.watch(selection)
        counting.render(selection, None)
        return

    def ask() -> object:
        return shown.photos and _is_counted(shown)

    if not page_header.page_header(
        pages.EVALUATE,
        selection,
        ask,
        draw_exports=partial(_export_buttons, shown),
        draw_choice=partial(_run_controls, shown),
    ):
        return
    layout.chips(selection.filters)
    counting.watch(selection)
    if page_header.show_if_empty(selection):
        return
    if not shown.photos:
        _explain_empty(shown)
        return
    _remarks(shown)
    cards.key_figures(shown)
    _cards(shown)
    gallery.render(shown)
    selection_bar.selection_bar(selection)


def _remarks(shown: EvaluationSelection) -> None:
    selected = len(photo_queries.selected_positions(shown.selection.source, shown.selection.filters))
    n = photo_count(selected) if shown.photos == selected else f"{count(shown.photos)} of {photo_count(selected)}"
    texts = [
        f"{shown.labels[shown.main_run.run]} against {shown.truth.name} ({shown.truth.format}), n = {n} with "
        "a mask of the "
        f"truth{' in every run shown' if len(shown.runs) > 1 else ''}; 95 % bootstrap intervals over photos."
    ]
    if shown.main_run.run != shown.selection.run.run:
        texts.append("The active run is not evaluated against this truth, so another one is shown.")
    layout.remarks([*texts, *shown.evaluation.notes])


def _explain_empty(shown: EvaluationSelection) -> None:
    if not shown.runs:
        st.info(f"No run is evaluated against {escape_markdown(shown.truth.name)} yet: choose its folder above.")
    else:
        st.info(
            f"None of the selected photos has a mask of {escape_markdown(shown.truth.name)} in all of these "
            "runs: remove "
            "a filter or a run, or choose another truth."
        )


def _cards(shown: EvaluationSelection) -> None:
    if len(shown.runs) > 1:
        cards.runs(shown)
    left, right = st.columns([3, 2])
    with left:
        cards.confusion(shown)
    with right:
        cards.reliability(shown)
    if len(evaluation_queries.label_figures(shown.query, shown.main_run.run)) < 2:
        cards.classes(shown)
        return
    left, right = st.columns([7, 4])
    with left:
        cards.classes(shown)
    with right:
        cards.labels(shown)


# --- which truth, which runs -------------------------------------------------------------------------------------


def _run_controls(shown: EvaluationSelection) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="evaluate_controls"):
        names = {one.id: _truth_label(shown, one.id) for one in shown.truths}
        key = session.sync_widget("w:truth", shown.truth.id)
        st.selectbox(
            "Ground truth",
            list(names),
            format_func=lambda truth: names[truth],
            key=key,
            on_change=session.widget_callback(key, lambda truth: session.update_from_first_page(truth=truth, cell=())),
            width=260,
        )
        if len(shown.evaluated_runs) > 1:
            _choose_runs(shown)
        with st.popover("New evaluation", help="More runs, or other masks"):
            counting.render(shown.selection, shown)


def _truth_label(shown: EvaluationSelection, truth: str) -> str:
    """Return the ground truth's name, with its id if the name is ambiguous."""
    one = next(one for one in shown.truths if one.id == truth)
    same = [other for other in shown.truths if other.name == one.name]
    return f"{one.name} · {one.format}" + (f" · {one.id}" if len(same) > 1 else "")


def _choose_runs(shown: EvaluationSelection) -> None:
    names = [run.run for run in shown.evaluated_runs]
    controls.choose_runs(
        "Runs",
        names,
        shown.run_names,
        lambda name: shown.labels[name],
        partial(_set_runs, shown.selection.run.run, names),
        key="w:graded",
        most=MAX_COMPARED_RUNS,
    )


def _set_runs(active: str, names: list[str], chosen: list[str]) -> None:
    """Apply the chosen runs; choosing all is the default, and the active run stays if it is evaluated."""
    wanted = set(chosen) | ({active} & set(names))
    session.update_from_first_page(runs=() if wanted == set(names) or not wanted else tuple(sorted(wanted)))


def _is_counted(shown: EvaluationSelection) -> bool:
    """Return whether the runs are also compared with each other, which a report on several runs needs."""
    names = shown.run_names
    return (
        len(names) == 1
        or not comparison_queries.count_pending(
            comparison_queries.comparison_query(shown.selection.source, names, Filters())
        )[1]
    )


# --- what can be taken along -------------------------------------------------------------------------------------


def _export_buttons(shown: EvaluationSelection) -> None:
    if not shown.photos:
        return
    if shown.main_run == shown.selection.run and _is_counted(shown):
        page_header.report_button(shown.selection, shown.run_names, truth=shown.truth.id)
    page_header.table_downloads(TABLES, partial(evaluation_queries.export_table, shown.query), name="evaluate")
