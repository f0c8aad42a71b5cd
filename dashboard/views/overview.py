"""Overview page: a few of the photos that pass the filters, and their classes, confidence and folders as charts.

Takes a `Selection`. Clicking a bar filters; clicking a cell opens Explore with the cell's filters.
"""

from functools import partial

import pandas as pd
import streamlit as st

from dashboard.charts import tables
from dashboard.charts.class_choice import largest_classes
from dashboard.components import layout
from dashboard.components import matrix as matrix_component
from dashboard.components.matrix import MatrixCell
from dashboard.formatting import count, photo_count
from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.state.crossfilter import with_both_present
from dashboard.views.photos.strip import photo_strip
from dashboard.views.selection import saved_views
from dashboard.views.shared import chart_cards, controls, page_header
from seglib.classes import BACKGROUND, PRESENT_SHARE

MAX_CLASSES = 8
"""Maximum number of classes in one chart."""


def render(selection: Selection) -> None:
    with layout.heading(pages.OVERVIEW):
        saved_views.menu(selection)
        page_header.copy_link(selection)
    layout.chips(selection.filters)
    page_header.key_figures(selection)
    if page_header.show_if_empty(selection):
        return
    photo_strip(selection)
    distribution = partial(chart_cards.class_distribution, limit=MAX_CLASSES)
    contradicted = partial(chart_cards.folder_against_content, apply=partial(session.open_page, pages.EXPLORE))
    controls.side_by_side(
        selection,
        (3, 2),
        (distribution, contradicted),
        (chart_cards.share_by_label, chart_cards.share_spread),
        key="areas",
    )
    controls.side_by_side(selection, (2, 1), (_co_occurrence, chart_cards.regions), key="regions")
    measures = (chart_cards.certainty, chart_cards.confidence_against_share, chart_cards.sizes)
    controls.side_by_side(selection, (1, 1, 1), measures, key="measures")
    _unreadable(selection)


def _co_occurrence(selection: Selection) -> None:
    frame = photo_statistics.co_occurrence(selection.query())
    distribution = photo_statistics.class_distribution(selection.query())
    names = largest_classes(distribution["present"].drop(BACKGROUND, errors="ignore"), MAX_CLASSES)
    with layout.card(
        "Co-occurrence",
        f"photos that show both classes, n = {count(_n(distribution))}; {page_header.PRESENT_NOTE}",
    ):
        if not names:
            layout.remark("No class other than the background is present in any of these photos.")
            return
        numbers: list[list[int]] = frame.loc[names, names].to_numpy().tolist()
        largest = max(map(max, numbers))
        rows = [
            (first, [_pair_cell(first, second, number, largest) for second, number in zip(names, line, strict=True)])
            for first, line in zip(names, numbers, strict=True)
        ]

        def open_cell() -> None:
            if cell := matrix_component.read_cell("co_occurrence", len(names), len(names)):
                pair = with_both_present(session.view().filters, names[cell[0]], names[cell[1]], PRESENT_SHARE)
                session.open_page(pages.EXPLORE, pair)

        table = tables.cells(("class", "and class"), {"photos": frame.loc[names, names]})
        matrix_component.matrix("", names, rows, key="co_occurrence", on_cell=open_cell, table=table)
        layout.remark("The diagonal counts the class itself. A click on a cell shows its photos.")


def _pair_cell(first: str, second: str, number: int, largest: int) -> MatrixCell:
    classes = first if first == second else f"{first} and {second}"
    return MatrixCell(
        value=number, level=(number / largest) ** 0.5 if largest else 0.0, hint=f"{photo_count(number)} with {classes}"
    )


def _n(distribution: pd.DataFrame) -> int:
    return int(distribution["n"].max()) if len(distribution) else 0


def _unreadable(selection: Selection) -> None:
    failures = photo_queries.failures(selection.source)
    if len(failures):
        with layout.card("Unreadable files", f"n = {count(len(failures))}; they are not counted in any figure"):
            st.dataframe(failures, hide_index=True, lazy=True, alt="Files that could not be read, with reasons")
