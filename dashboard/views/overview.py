"""Overview: what the network saw in all photos that pass the filters, in six pictures.

In: a `Selection`. Out: the page. A click on a cell leads to Explore with the cell's filters.
"""

from functools import partial

import pandas as pd
import streamlit as st

from dashboard import charts, components, data, session, ui
from dashboard.components import Cell
from dashboard.data import Selection
from dashboard.formats import count, photos
from dashboard.state import both_present
from dashboard.views import parts
from seglib.classes import BACKGROUND, PRESENT_SHARE

EXPLORE = "Explore"


def render(selection: Selection) -> None:
    with ui.heading("Overview"):
        parts.copy_link(selection)
    ui.chips(selection.filters)
    parts.key_figures(selection)
    if parts.is_empty(selection):
        return
    left, right = st.columns([3, 2])
    with left:
        _class_distribution(selection)
        _share_by_label(selection)
    with right:
        parts.folder_against_animal(selection, partial(session.open_page, EXPLORE), stretch=False)
        _confidence(selection)
    _co_occurrence(selection)
    _unreadable(selection)


def _class_distribution(selection: Selection) -> None:
    frame: pd.DataFrame = selection.answer("class_distribution")
    there = int((frame["present"] > 0).sum())
    with ui.card(
        "Class distribution",
        f"mean share of the photo, and photos it is present in; {parts.PRESENT_NOTE}",
        stretch=False,
    ):
        st.plotly_chart(
            charts.class_distribution(frame),
            key="class_distribution",
            config=charts.CONFIG,
            alt="Bars: mean share of each class. " + charts.in_words(frame),
        )
        if there > charts.MOST_CLASSES:
            ui.remark(f"The {charts.MOST_CLASSES} largest of {there} classes that are present in a photo.")


def _share_by_label(selection: Selection) -> None:
    means: pd.DataFrame = selection.answer("share_by_label")
    means, left_out = parts.largest_labels(means, means["n"], parts.MOST_LABELS)
    with ui.card("Share by folder label", "mean share of each class over a folder's photos"):
        st.plotly_chart(
            charts.share_by_label(means),
            key="share_by_label",
            config=charts.CONFIG,
            alt="Stacked bars: mean share of each class per folder label.",
        )
        parts.say_left_out(left_out)


def _confidence(selection: Selection) -> None:
    bins: pd.DataFrame = selection.answer("confidence")
    with ui.card("Confidence", f"photos per 0.05, n = {count(int(bins['count'].sum()))}"):
        if not int(bins["count"].sum()):
            ui.remark("The masks of this run came without probabilities.")
            return
        st.plotly_chart(
            charts.histogram(bins, height=210),
            key="confidence",
            config=charts.CONFIG,
            alt="Histogram of the mean confidence per photo.",
        )


def _co_occurrence(selection: Selection) -> None:
    frame: pd.DataFrame = selection.answer("co_occurrence")
    distribution: pd.DataFrame = selection.answer("class_distribution")
    by_presence = distribution.sort_values("present", ascending=False, kind="stable")
    names = [str(n) for n in by_presence.index if n != BACKGROUND and by_presence["present"][n]][: charts.MOST_CLASSES]
    with ui.card(
        "Co-occurrence",
        f"photos in which both classes are present, n = {count(_n(distribution))}; {parts.PRESENT_NOTE}",
    ):
        if not names:
            ui.remark("No class but the background is present in any of these photos.")
            return
        numbers: list[list[int]] = frame.loc[names, names].to_numpy().tolist()
        largest = max(map(max, numbers))
        rows = [
            (first, [_pair(first, second, number, largest) for second, number in zip(names, line, strict=True)])
            for first, line in zip(names, numbers, strict=True)
        ]

        def chosen() -> None:
            if cell := components.cell_of("co_occurrence", len(names), len(names)):
                pair = both_present(session.view().filters, names[cell[0]], names[cell[1]], PRESENT_SHARE)
                session.open_page(EXPLORE, pair)

        components.matrix("", names, rows, key="co_occurrence", on_cell=chosen)
        ui.remark("The diagonal counts the class itself. A click on a cell shows its photos.")


def _pair(first: str, second: str, number: int, largest: int) -> Cell:
    there = first if first == second else f"{first} and {second}"
    return Cell(
        value=number, level=(number / largest) ** 0.5 if largest else 0.0, hint=f"{photos(number)} with {there}"
    )


def _n(distribution: pd.DataFrame) -> int:
    return int(distribution["n"].max()) if len(distribution) else 0


def _unreadable(selection: Selection) -> None:
    failures = data.failures(selection.source)
    if len(failures):
        with ui.card("Unreadable files", f"n = {count(len(failures))}; they are in no other figure"):
            st.dataframe(failures, hide_index=True, lazy=True, alt="Files that could not be read, with reasons")
