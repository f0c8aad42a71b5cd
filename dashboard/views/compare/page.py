"""Compare page: any number of runs over the selected photos, two of them (A and B) in detail.

Takes a `Selection`, whose run is A. All figures come from counts in the store; photos that are not counted yet are
counted by a job.
"""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, photo_count, shorten_enumerations
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.views.compare import cards, counting, gallery, headline, suspects
from dashboard.views.compare.selection import ComparisonSelection, chosen_state, select_comparison
from dashboard.views.multi_run import missing_link, slices
from dashboard.views.multi_run.all_figures import all_figures
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MAX_COMPARED_RUNS
from seglib.evaluation.slices.figures import COMPARISON_MEASURES

NO_PAIR = "A comparison needs two runs, and this store holds one: start another on the Runs page."
TABLES = {
    "pairs": "Every pair of runs: all figures with their intervals",
    "images": "Every photo and pair: all measures",
    "flips": "Pixels that one run calls A and another B",
}

SUSPECTS_TABLE = "Work list of masks that look wrong: path, strength of each reason, and the reasons in words"


def render(selection: Selection) -> None:
    comparison_selection = select_comparison(selection)
    if comparison_selection is None:
        session.write_url()
        layout.empty_page(pages.COMPARE, NO_PAIR, to=pages.RUNS)
        return
    a, b = (comparison_selection.labels[run.run] for run in comparison_selection.runs[:2])
    session.set_run_words(f"A: {a}, B: {b}")
    if not page_header.page_header(
        pages.COMPARE,
        selection,
        lambda: comparison_selection.photos,
        draw_exports=partial(_export_buttons, comparison_selection),
        draw_choice=partial(_run_controls, comparison_selection),
    ):
        session.write_url(comparison_selection.named_view(0))
        return
    session.write_url(comparison_selection.named_view(comparison_selection.photos))
    layout.chips(selection.filters)
    counting.render(comparison_selection)
    if page_header.show_if_empty(selection):
        return
    if not comparison_selection.photos:
        _explain_no_counts(comparison_selection)
        return
    missing_link.note_changed_n(comparison_selection.photos)
    headline.answer(comparison_selection, _notes(comparison_selection))
    controls.side_by_side(
        selection,
        [1, 1],
        [lambda _: headline.agreement(comparison_selection), lambda _: headline.areas(comparison_selection)],
        key="answer",
    )
    _slices(comparison_selection)
    gallery.render(comparison_selection)
    all_figures("where they disagree, shares, areas, cost, every class", partial(_cards, comparison_selection))
    selection_bar.selection_bar(selection)


def _slices(selection: ComparisonSelection) -> None:
    pair = selection.a, selection.b
    slices.slices(
        selection,
        partial(comparison_queries.slices, selection.query, selection.base.source, pair),
        measures={name: name.replace("_", " ") for name in COMPARISON_MEASURES},
        worst="Least agreement",
        about=f"A {selection.labels[selection.a]}, B {selection.labels[selection.b]}",
    )


def _notes(selection: ComparisonSelection) -> list[str]:
    base = selection.base
    return [
        f"Agreement between models, not accuracy. n = {_n(selection)}, 95 % bootstrap intervals over photos.",
        *photo_queries.repeats(base.source, base.filters),
        *map(shorten_enumerations, selection.comparison.class_notes),
    ]


def _n(selection: ComparisonSelection) -> str:
    selected = len(photo_queries.counted_positions(selection.base.source, selection.base.filters))
    if selection.photos == selected:
        return photo_count(selected)
    return f"{count(selection.photos)} of {photo_count(selected)} (those with counts of every run)"


def _explain_no_counts(selection: ComparisonSelection) -> None:
    common, missing = comparison_queries.count_pending(selection.query)
    if not common:
        st.info("These runs have no photo in common: choose others, or run the models on the same folder.")
    elif not missing:
        st.info("None of the selected photos has a mask in every one of these runs: remove a filter or a run.")


def _cards(selection: ComparisonSelection) -> None:
    cards.key_figures(selection)
    rows = layout.card_rows("all")
    left, right = rows.columns(2)
    with left:
        cards.flips(selection)
    with right:
        cards.shares(selection)
    left, right = rows.columns(2)
    with left:
        cards.areas(selection)
        if len(selection.runs) > 2:
            cards.pairwise(selection)
    with right:
        cards.cost(selection)
    cards.classes(selection)


# --- which runs --------------------------------------------------------------------------------------------------


def _run_controls(selection: ComparisonSelection) -> None:
    names = [run.run for run in reversed(selection.base.store.runs())]
    order = selection.run_names
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_controls"):
        controls.choose_runs(
            f"Runs, at most {MAX_COMPARED_RUNS}",
            names,
            order,
            lambda name: " · ".join(filter(None, (selection.letters.get(name), selection.labels[name]))),
            partial(_choose_runs, selection.a, names),
            key="w:compared",
            limit=MAX_COMPARED_RUNS,
        )
        if len(order) > 2:
            key = session.sync_widget("w:against", selection.b)
            st.selectbox(
                "B",
                order[1:],
                format_func=lambda name: selection.labels[name],
                key=key,
                on_change=session.widget_callback(key, lambda name: session.update_from_first_page(against=name)),
                width=260,
            )
        st.button("Swap A and B", key="swap", on_click=_swap, args=(selection.a, selection.b, tuple(sorted(order))))


def _choose_runs(a: str, names: list[str], chosen: list[str]) -> None:
    if len({a, *chosen}) > MAX_COMPARED_RUNS:
        session.add_notes([f"At most {MAX_COMPARED_RUNS} runs are compared at a time: remove one first."])
        return
    session.update_from_first_page(**chosen_state(session.view(), a, names, chosen))


def _swap(a: str, b: str, order: tuple[str, ...]) -> None:
    view = session.view()
    session.update_from_first_page(run=b, against=a, runs=view.runs or order, flip=view.flip[::-1])


# --- what can be taken along -------------------------------------------------------------------------------------


def _export_buttons(selection: ComparisonSelection) -> None:
    if not selection.photos:
        return
    page_header.report_button(selection.base, selection.run_names, (selection.a, selection.b))
    tables = TABLES | ({"suspects": SUSPECTS_TABLE} if suspects.are_shown(selection.base.view) else {})
    by = photo_queries.known_field(selection.base.source, selection.base.view.by)
    export_slices = partial(comparison_queries.export_slices, selection.query, selection.base.source, by)
    make_table = slices.with_slices(partial(comparison_queries.export_table, selection.query), export_slices)

    def make(table: str, kind: str) -> bytes:
        return suspects.work_list(selection, kind) if table == "suspects" else make_table(table, kind)

    titles = [selection.labels[run] for run in selection.run_names]
    page_header.table_downloads(tables | (slices.TABLE if by else {}), make, page=pages.COMPARE, runs=titles)
