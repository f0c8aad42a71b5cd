"""Evaluate page: runs against ground truth over the selected photos.

Takes a `Selection`. All figures come from counts in the store, so changing a filter reads no masks.
"""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, photo_count, shorten_enumerations
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.views.evaluate import cards, counting, form, gallery
from dashboard.views.evaluate.selection import EvaluationSelection, select_evaluation
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.query.filters import Filters

NO_TRUTH = (
    "This store holds no ground truth yet: masks that people drew, one file per photo and named like it. "
    "Choose their folder here, or: python -m seglib evaluate --truth FOLDER"
)
TABLES = {
    "runs": "Every run, whole and per folder label: all figures with their intervals",
    "images": "Every photo and run: all measures, worst first",
    "confusion": "Every run's confusion matrix: truth, prediction, pixels",
}


def render(selection: Selection) -> None:
    evaluation_selection = select_evaluation(selection)
    if evaluation_selection is None:
        with layout.heading(pages.EVALUATE):
            page_header.copy_link(selection)
        st.info(escape_markdown(NO_TRUTH))
        counting.watch(selection)
        form.render(selection, None)
        return

    def ask() -> object:
        return evaluation_selection.photos and _is_counted(evaluation_selection)

    if not page_header.page_header(
        pages.EVALUATE,
        selection,
        ask,
        draw_exports=partial(_export_buttons, evaluation_selection),
        draw_choice=partial(_run_controls, evaluation_selection),
    ):
        return
    layout.chips(selection.filters)
    counting.watch(selection)
    if page_header.show_if_empty(selection):
        return
    if not evaluation_selection.photos:
        _explain_empty(evaluation_selection)
        return
    session.set_run_words(
        f"{evaluation_selection.labels[evaluation_selection.main_run.run]} against {evaluation_selection.truth.name}"
    )
    _remarks(evaluation_selection)
    cards.key_figures(evaluation_selection)
    _cards(evaluation_selection)
    gallery.render(evaluation_selection)
    selection_bar.selection_bar(selection)


def _remarks(selection: EvaluationSelection) -> None:
    selected = len(photo_queries.counted_positions(selection.base.source, selection.base.filters))
    of_selected = "" if selection.photos == selected else f"{count(selection.photos)} of "
    truth = selection.truth
    texts = [
        f"{selection.labels[selection.main_run.run]} against {truth.name} ({truth.format}), "
        f"n = {of_selected}{photo_count(selected)} with a mask of the "
        f"truth{' in every run shown' if len(selection.runs) > 1 else ''}; 95 % bootstrap intervals over photos."
    ]
    if selection.main_run.run != selection.base.run.run:
        texts.append("The active run is not evaluated against this truth, so another one is shown.")
    texts += photo_queries.repeats(selection.base.source, selection.base.filters)
    name = selection.main_run.run
    notes = [shorten_enumerations(note.replace(name, selection.labels[name])) for note in selection.evaluation.notes]
    layout.remarks([*texts, *notes])


def _explain_empty(selection: EvaluationSelection) -> None:
    if not selection.runs:
        st.info(f"No run is evaluated against {escape_markdown(selection.truth.name)} yet: choose its folder above.")
    else:
        st.info(
            f"None of the selected photos has a mask of {escape_markdown(selection.truth.name)} in all of these "
            "runs: remove "
            "a filter or a run, or choose another truth."
        )


def _cards(selection: EvaluationSelection) -> None:
    if len(selection.runs) > 1:
        cards.runs(selection)
    left, right = st.columns([3, 2])
    with left:
        cards.confusion(selection)
    with right:
        cards.reliability(selection)
    if len(evaluation_queries.label_figures(selection.query, selection.main_run.run)) < 2:
        cards.classes(selection)
    else:
        left, right = st.columns([7, 4])
        with left:
            cards.classes(selection)
        with right:
            cards.labels(selection)
    cards.cost(selection)


# --- which truth, which runs -------------------------------------------------------------------------------------


def _run_controls(selection: EvaluationSelection) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="evaluate_controls"):
        names = {one.id: _truth_label(selection, one.id) for one in selection.truths}
        key = session.sync_widget("w:truth", selection.truth.id)
        st.selectbox(
            "Ground truth",
            list(names),
            format_func=lambda truth: names[truth],
            key=key,
            on_change=session.widget_callback(key, lambda truth: session.update_from_first_page(truth=truth, cell=())),
            width=260,
        )
        if len(selection.evaluated_runs) > 1:
            _choose_runs(selection)
        popover = st.popover(
            "New evaluation", help="More runs, or other masks", key=form.POPOVER, on_change="rerun", width="content"
        )
        if popover.open:  # only then are masks opened
            with popover:
                form.render(selection.base, selection)


def _truth_label(selection: EvaluationSelection, truth: str) -> str:
    """Return the ground truth's name, with its id if the name is ambiguous."""
    record = next(record for record in selection.truths if record.id == truth)
    same = [other for other in selection.truths if other.name == record.name]
    return f"{record.name} · {record.format}" + (f" · {record.id}" if len(same) > 1 else "")


def _choose_runs(selection: EvaluationSelection) -> None:
    names = [run.run for run in selection.evaluated_runs]
    controls.choose_runs(
        "Runs",
        names,
        selection.run_names,
        lambda name: selection.labels[name],
        partial(_set_runs, selection.base.run.run, names),
        key="w:graded",
        limit=MAX_COMPARED_RUNS,
    )


def _set_runs(active: str, names: list[str], chosen: list[str]) -> None:
    """Apply the chosen runs; choosing all is the default, and the active run stays if it is evaluated."""
    wanted = set(chosen) | ({active} & set(names))
    session.update_from_first_page(runs=() if wanted == set(names) or not wanted else tuple(sorted(wanted)))


def _is_counted(selection: EvaluationSelection) -> bool:
    """Return whether the runs are also compared with each other, which a report on several runs needs."""
    names = selection.run_names
    return (
        len(names) == 1
        or not comparison_queries.count_pending(
            comparison_queries.comparison_query(selection.base.source, names, Filters())
        )[1]
    )


# --- what can be taken along -------------------------------------------------------------------------------------


def _export_buttons(selection: EvaluationSelection) -> None:
    if not selection.photos:
        return
    if selection.main_run == selection.base.run and _is_counted(selection):
        page_header.report_button(selection.base, selection.run_names, truth=selection.truth.id)
    make = partial(evaluation_queries.export_table, selection.query)
    titles = [selection.labels[run] for run in selection.run_names]
    page_header.table_downloads(TABLES, make, page=pages.EVALUATE, runs=titles)
