"""Evaluate page: runs against ground truth over the selected photos.

Takes a `Selection`. All figures come from counts in the store, so changing a filter reads no masks.
"""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import MEASURE_NAMES, count, escape_markdown, photo_count, shorten_enumerations
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.state.links import describe_missing
from dashboard.views.evaluate import cards, counting, form, gallery, headline, mistakes
from dashboard.views.evaluate.selection import EvaluationSelection, select_evaluation
from dashboard.views.multi_run import missing_link, slices
from dashboard.views.multi_run.all_figures import all_figures
from dashboard.views.selection import saved_views
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.evaluation.slices.figures import EVALUATION_MEASURES
from seglib.store import ground_truth
from seglib.store.ground_truth import GroundTruth

NO_TRUTH = (
    "This store holds no ground truth yet: ground-truth masks, one per photo, with the same file names. "
    "Choose their folder here, or: python -m seglib evaluate --truth FOLDER"
)
TABLES = {
    "runs": "Every run, whole and per folder: all figures with their intervals",
    "images": "Every photo and run: all measures, worst first",
    "confusion": "Every run's confusion matrix: truth, prediction, pixels",
}

MISTAKES_TABLE = "Work list of likely mistakes: path, scores, class and reason, in the order shown"


def render(selection: Selection) -> None:
    evaluation_selection = select_evaluation(selection)
    if evaluation_selection is None:
        session.write_url(selection.view)
        _without_truth(selection)
        return

    def ask() -> object:
        return evaluation_selection.photos

    if not page_header.page_header(
        pages.EVALUATE,
        selection,
        ask,
        draw_exports=partial(_export_buttons, evaluation_selection),
        draw_choice=partial(_run_controls, evaluation_selection),
    ):
        session.write_url(evaluation_selection.named_view(0))
        return
    session.write_url(evaluation_selection.named_view(evaluation_selection.photos))
    layout.chips(selection.filters)
    counting.watch(selection)
    if page_header.show_if_empty(selection):
        return
    if not evaluation_selection.photos:
        _explain_empty(evaluation_selection)
        return
    missing_link.note_changed_n(evaluation_selection.photos)
    session.set_run_words(
        f"{evaluation_selection.labels[evaluation_selection.main_run.run]} against {evaluation_selection.truth.name}"
    )
    headline.answer(evaluation_selection, _notes(evaluation_selection))
    controls.side_by_side(
        selection,
        [1, 1],
        [lambda _: headline.scores(evaluation_selection), lambda _: headline.classes(evaluation_selection)],
        key="answer",
    )
    _slices(evaluation_selection)
    gallery.render(evaluation_selection)
    all_figures("confusion matrix, calibration, every class, cost", partial(_cards, evaluation_selection))
    selection_bar.selection_bar(selection)


def _slices(selection: EvaluationSelection) -> None:
    run = selection.main_run.run
    slices.slices(
        selection,
        partial(evaluation_queries.slices, selection.query, selection.base.source, run),
        measures={name: MEASURE_NAMES[name] for name in EVALUATION_MEASURES},
        worst="Worst",
        about=selection.labels[run],
    )


def _without_truth(selection: Selection) -> None:
    """Draw the page of a store without ground truth, or without the one that the link names."""
    truths = ground_truth.list_truths(selection.store)
    with layout.heading(pages.EVALUATE):
        saved_views.menu(selection)
        page_header.copy_link(selection)
    if selection.view.truth:
        st.error(escape_markdown(describe_missing("ground truth", [selection.view.truth])))
    if truths:
        _choose_truth(truths, None)
        return
    st.info(escape_markdown(NO_TRUTH))
    counting.watch(selection)
    form.render(selection, None)


def _notes(selection: EvaluationSelection) -> list[str]:
    selected = len(photo_queries.counted_positions(selection.base.source, selection.base.filters))
    of_selected = "" if selection.photos == selected else f"{count(selection.photos)} of "
    truth = selection.truth
    main = selection.labels[selection.main_run.run]
    n = f"n = {of_selected}{photo_count(selected)} with a mask of the truth"
    if len(selection.runs) > 1:
        texts = [f"Against {truth.name} ({truth.format}), {n} in every run shown. The photos below: {main}."]
    else:
        texts = [f"{main} against {truth.name} ({truth.format}), {n}."]
    if left_out := selection.not_evaluated:
        names = ", ".join(selection.labels[run] for run in left_out)
        texts.append(f"Not evaluated against this truth, so not shown: {names}.")
    if selection.main_run.run != selection.base.run.run:
        texts.append("The active run is not evaluated against this truth, so another one is shown.")
    texts += photo_queries.repeats(selection.base.source, selection.base.filters)
    name = selection.main_run.run
    notes = [shorten_enumerations(note.replace(name, selection.labels[name])) for note in selection.evaluation.notes]
    return [*texts, *notes]


def _explain_empty(selection: EvaluationSelection) -> None:
    if not selection.runs and selection.evaluated_runs:
        names = ", ".join(selection.labels[run] for run in selection.not_evaluated)
        st.info(
            f"{escape_markdown(names)}: not evaluated against {escape_markdown(selection.truth.name)}. Choose runs "
            "that are, above, or start a new evaluation."
        )
    elif not selection.runs:
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
    else:
        cards.key_figures(selection)
    left, right = layout.card_rows("all").columns([3, 2])
    with left:
        cards.confusion(selection)
    with right:
        cards.reliability(selection)
    cards.classes(selection)
    cards.cost(selection)


# --- which truth, which runs -------------------------------------------------------------------------------------


def _run_controls(selection: EvaluationSelection) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="evaluate_controls"):
        _choose_truth(selection.truths, selection.truth.id)
        if len(selection.evaluated_runs) > 1 or (selection.evaluated_runs and not selection.runs):
            _choose_runs(selection)
        popover = st.popover(
            "New evaluation", help="More runs, or other masks", key=form.POPOVER, on_change="rerun", width="content"
        )
        if popover.open:  # only then are masks opened
            with popover:
                form.render(selection.base, selection)


def _choose_truth(truths: Sequence[GroundTruth], chosen: str | None) -> None:
    names = {truth.id: _truth_label(truths, truth) for truth in truths}
    key = session.sync_widget("w:truth", chosen)
    st.selectbox(
        "Ground truth",
        list(names),
        index=None if chosen is None else 0,
        placeholder="Choose a ground truth",
        format_func=lambda truth: names[truth],
        key=key,
        on_change=session.widget_callback(
            key, lambda truth: session.update_from_first_page(truth=truth or "", cell=())
        ),
        width=260,
    )


def _truth_label(truths: Sequence[GroundTruth], truth: GroundTruth) -> str:
    """Return the ground truth's name, with its id if the name is ambiguous."""
    same = [other for other in truths if other.name == truth.name]
    return f"{truth.name} · {truth.format}" + (f" · {truth.id}" if len(same) > 1 else "")


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


# --- what can be taken along -------------------------------------------------------------------------------------


def _export_buttons(selection: EvaluationSelection) -> None:
    if not selection.photos:
        return
    if selection.main_run == selection.base.run:
        page_header.report_button(selection.base, selection.run_names, truth=selection.truth.id)
    by = photo_queries.known_field(selection.base.source, selection.base.view.by)
    export_slices = partial(evaluation_queries.export_slices, selection.query, selection.base.source, by)
    make_one = slices.with_slices(partial(evaluation_queries.export_table, selection.query), export_slices)
    tables = TABLES | ({"mistakes": MISTAKES_TABLE} if mistakes.are_shown(selection.base.view) else {})

    def make(table: str, kind: str) -> bytes:
        return mistakes.work_list(selection, kind) if table == "mistakes" else make_one(table, kind)

    titles = [selection.labels[run] for run in selection.run_names]
    page_header.table_downloads(tables | (slices.TABLE if by else {}), make, page=pages.EVALUATE, runs=titles)
