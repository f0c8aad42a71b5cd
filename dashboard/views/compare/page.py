"""Compare page: any number of runs over the selected photos, two of them (A and B) in detail.

Takes a `Selection`, whose run is A. All figures come from counts in the store; photos that are not counted yet are
counted by a job.
"""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, photo_count
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.views.compare import cards, counting, gallery
from dashboard.views.compare.selection import ComparisonSelection, chosen_state, select_comparison
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MAX_COMPARED_RUNS

NO_PAIR = "A comparison needs two runs, and this store holds one: start another on the Runs page."
TABLES = {
    "pairs": "Every pair of runs: all figures with their intervals",
    "images": "Every photo and pair: all measures",
    "flips": "Pixels that one run calls A and another B",
}


def render(selection: Selection) -> None:
    shown = select_comparison(selection)
    if shown is None:
        layout.empty_page(pages.COMPARE, NO_PAIR, to=pages.RUNS)
        return
    if not page_header.page_header(
        pages.COMPARE,
        selection,
        lambda: shown.photos,
        draw_exports=partial(_export_buttons, shown),
        draw_choice=partial(_run_controls, shown),
    ):
        return
    layout.chips(selection.filters)
    counting.render(shown)
    if page_header.show_if_empty(selection):
        return
    if not shown.photos:
        _explain_no_counts(shown)
        return
    layout.remark(f"Agreement between models, not accuracy. n = {_n(shown)}, 95 % bootstrap intervals over photos.")
    layout.remarks(shown.comparison.class_notes)
    cards.key_figures(shown)
    _cards(shown)
    gallery.render(shown)
    selection_bar.selection_bar(selection)


def _n(shown: ComparisonSelection) -> str:
    selected = len(photo_queries.selected_positions(shown.selection.source, shown.selection.filters))
    if shown.photos == selected:
        return photo_count(selected)
    return f"{count(shown.photos)} of {photo_count(selected)} (those with counts of every run)"


def _explain_no_counts(shown: ComparisonSelection) -> None:
    common, missing = comparison_queries.count_pending(shown.query)
    if not common:
        st.info("These runs have no photo in common: choose others, or run the models on the same folder.")
    elif not missing:
        st.info("None of the selected photos has a mask in every one of these runs: remove a filter or a run.")


def _cards(shown: ComparisonSelection) -> None:
    left, right = st.columns(2)
    with left:
        cards.flips(shown)
    with right:
        cards.shares(shown)
    left, right = st.columns(2)
    with left:
        cards.areas(shown)
        if len(shown.runs) > 2:
            cards.pairwise(shown)
    with right:
        cards.cost(shown)
    cards.classes(shown)


# --- which runs --------------------------------------------------------------------------------------------------


def _run_controls(shown: ComparisonSelection) -> None:
    names = [run.run for run in reversed(shown.selection.store.runs())]
    order = shown.run_names
    sides = {shown.a: "A · ", shown.b: "B · "}
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_controls"):
        controls.choose_runs(
            f"Runs, at most {MAX_COMPARED_RUNS}",
            names,
            order,
            lambda name: f"{sides.get(name, '')}{shown.labels[name]}",
            partial(_choose_runs, shown.a, names),
            key="w:compared",
            most=MAX_COMPARED_RUNS,
        )
        if len(order) > 2:
            key = session.sync_widget("w:against", shown.b)
            st.selectbox(
                "B",
                order[1:],
                format_func=lambda name: shown.labels[name],
                key=key,
                on_change=session.widget_callback(key, lambda name: session.update_from_first_page(against=name)),
                width=260,
            )
        st.button("Swap A and B", key="swap", on_click=_swap, args=(shown.a, shown.b, tuple(sorted(order))))


def _choose_runs(a: str, names: list[str], chosen: list[str]) -> None:
    if len({a, *chosen}) > MAX_COMPARED_RUNS:
        session.add_notes([f"At most {MAX_COMPARED_RUNS} runs are compared at a time: remove one first."])
        return
    session.update_from_first_page(**chosen_state(session.view(), a, names, chosen))


def _swap(a: str, b: str, order: tuple[str, ...]) -> None:
    view = session.view()
    session.update_from_first_page(run=b, against=a, runs=view.runs or order, flip=view.flip[::-1])


# --- what can be taken along -------------------------------------------------------------------------------------


def _export_buttons(shown: ComparisonSelection) -> None:
    if not shown.photos:
        return
    page_header.report_button(shown.selection, shown.run_names, (shown.a, shown.b))
    page_header.table_downloads(TABLES, partial(comparison_queries.export_table, shown.query), name="compare")
