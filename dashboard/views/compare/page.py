"""Compare page: any number of runs over the selected photos, two of them (A and B) in detail.

Takes a `Selection`, whose run is A. All figures come from counts in the store; photos that are not counted yet are
counted by a job.
"""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, photos
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.views import runs
from dashboard.views.compare import cards, counting, gallery
from dashboard.views.compare.selection import Versus, chosen_of, versus
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.workers.requests import MOST_COMPARED

TITLE = "Compare"
NO_PAIR = "A comparison needs two runs, and this store holds one: start another on the Runs page."
TABLES = {
    "pairs": "Every pair of runs: all figures with their intervals",
    "images": "Every photo and pair: all measures",
    "flips": "What one run calls A and another B, in pixels",
}


def render(selection: Selection) -> None:
    shown = versus(selection)
    if shown is None:
        layout.nothing(TITLE, NO_PAIR, to=runs.TITLE)
        return
    if not page_header.head(
        TITLE, selection, lambda: shown.photos, leaving=partial(_leaving, shown), choice=partial(_choose, shown)
    ):
        return
    layout.chips(selection.filters)
    counting.render(shown)
    if page_header.is_empty(selection):
        return
    if not shown.photos:
        _nothing_counted(shown)
        return
    layout.remark(f"Agreement between networks, not accuracy. n = {_n(shown)}, 95 % bootstrap intervals over photos.")
    layout.remarks(shown.found.class_notes)
    cards.key_figures(shown)
    _cards(shown)
    gallery.render(shown)
    selection_bar.bar(selection)


def _n(shown: Versus) -> str:
    selected = len(photo_queries.selected(shown.selection.source, shown.selection.filters))
    if shown.photos == selected:
        return photos(selected)
    return f"{count(shown.photos)} of {photos(selected)} (those with counts of every run)"


def _nothing_counted(shown: Versus) -> None:
    common, missing = comparison_queries.uncounted(shown.asked)
    if not common:
        st.info("These runs have no photo in common: choose others, or run the networks over the same folder.")
    elif not missing:
        st.info("None of the selected photos has a mask in every one of these runs: take a filter or a run away.")


def _cards(shown: Versus) -> None:
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


def _choose(shown: Versus) -> None:
    names = [run.run for run in reversed(shown.selection.store.runs())]
    order = [run.run for run in shown.runs]
    sides = {shown.a: "A · ", shown.b: "B · "}
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_controls"):
        controls.choose_runs(
            f"Runs, at most {MOST_COMPARED}",
            names,
            order,
            lambda name: f"{sides.get(name, '')}{shown.labels[name]}",
            partial(_choose_runs, shown.a, names),
            key="w:compared",
            most=MOST_COMPARED,
        )
        if len(order) > 2:
            key = session.controlled("w:against", shown.b)
            st.selectbox(
                "B",
                order[1:],
                format_func=lambda name: shown.labels[name],
                key=key,
                on_change=session.on(key, lambda name: session.anew(against=name)),
                width=260,
            )
        st.button("Swap A and B", key="swap", on_click=_swap, args=(shown.a, shown.b, tuple(sorted(order))))


def _choose_runs(a: str, names: list[str], chosen: list[str]) -> None:
    if len({a, *chosen}) > MOST_COMPARED:
        session.tell([f"At most {MOST_COMPARED} runs are compared at a time: take one away first."])
        return
    session.anew(**chosen_of(session.view(), a, names, chosen))


def _swap(a: str, b: str, order: tuple[str, ...]) -> None:
    view = session.view()
    session.anew(run=b, against=a, runs=view.runs or order, flip=view.flip[::-1])


# --- what can be taken along -------------------------------------------------------------------------------------


def _leaving(shown: Versus) -> None:
    if not shown.photos:
        return
    page_header.report_button(shown.selection, [run.run for run in shown.runs], (shown.a, shown.b))
    page_header.tables(TABLES, partial(comparison_queries.exported, shown.asked), name="compare")
