"""Steps that several pages take: the head of a page, and folder label against animal.

In: a `Selection`. Out: elements on the page. Knows nothing of pages in particular.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from dashboard import components, crossfilter, data, session, ui
from dashboard.components import Cell
from dashboard.data import Selection
from dashboard.formats import count, named, percent, photos, plain_markdown, score
from dashboard.state import OPACITY_RANGE, SIZE_RANGE, SORTS, View, encode, sort_label
from seglib.classes import BACKGROUND, PRESENT_SHARE, animal_of_label
from seglib.errors import SegError
from seglib.query.filters import Filters
from seglib.query.statistics import KeyFigures

MOST_LABELS = 12
"""Folders that a chart or matrix shows at most, those with most photos."""

PRESENT_NOTE = f"present: at least {percent(PRESENT_SHARE)} of the photo"

IMAGE = "Image"
"""The page with the viewer."""

MOST_PILLS = 8
"""With more runs than this, a list to search in replaces the buttons."""

FILE_KINDS = {"csv": ("CSV", "text/csv"), "parquet": ("Parquet", "application/vnd.apache.parquet")}
"""Ending -> title and media type of the tables that can be taken along."""

PALETTE_NAMES = {"okabe-ito": "Okabe-Ito (colour-blind safe)", "voc": "Pascal VOC"}

_OF_MATRIX = ("label", "animal", "agreement")
"""The filters of folder label against animal."""

OnFilters = Callable[[Filters], None]


def side_by_side(selection: Selection, widths: Sequence[int], *lines: Sequence[Callable[[Selection], None]]) -> None:
    """Cards line by line, those of a line equally high."""
    for line in lines:
        for place, draw in zip(st.columns(list(widths)), line, strict=True):
            with place:
                draw(selection)


def copy_link(selection: Selection) -> None:
    """The page's address, and the command that writes the same rows."""
    command = ["python", "-m", "seglib", "export", "stats", "--store", selection.store.path.name]
    command += ["--run", selection.run.run, "--where", selection.filters.encode(), "--out", "selection.csv"]
    components.copy_link(shlex.join(command), key="copy_link")


def head(
    title: str,
    selection: Selection,
    ask: Callable[[], object],
    *,
    leaving: Callable[[], None],
    choice: Callable[[], None],
) -> bool:
    """The head of a page of several runs: title, link, what can be taken along, and the choice of runs, which stays
    where `ask` fails with these runs, since it may not with others. False if it failed; then the page has said why.
    """
    wrong = ""
    try:
        ask()
    except SegError as error:
        wrong = data.sentence(error)
    with ui.heading(title):
        copy_link(selection)
        if not wrong:
            leaving()
    choice()
    if wrong:
        st.error(plain_markdown(wrong))
    return not wrong


def report_button(
    selection: Selection, runs: Sequence[str], pair: tuple[str, str] | None = None, truth: str = ""
) -> None:
    """The report of these runs over the selected photos of the first of them; made when it is asked for."""
    st.download_button(
        "Report",
        data=partial(data.report_file, selection.store.path, tuple(runs), selection.filters, pair, truth),
        file_name="report.html",
        mime="text/html",
        key="download:report",
        help="One HTML file with figures, charts and photos, which opens without this program and without a network",
        on_click="ignore",
    )


def tables(meanings: Mapping[str, str], make: Callable[[str, str], bytes], *, name: str) -> None:
    """A page's figures to take along. `meanings`: table -> what is in it; `make(table, kind)` gives its bytes when they
    are asked for; the files are called after `name`.
    """
    with st.popover("Tables", help="The figures of this page as CSV or Parquet"):
        for table, meaning in meanings.items():
            ui.remark(meaning)
            with st.container(horizontal=True):
                for kind, (title, mime) in FILE_KINDS.items():
                    st.download_button(
                        title,
                        data=partial(make, table, kind),
                        file_name=f"{name}.{table}.{kind}",
                        mime=mime,
                        key=f"download:{table}:{kind}",
                        on_click="ignore",
                    )


def choose_runs(
    title: str,
    names: Sequence[str],
    chosen: Sequence[str],
    label: Callable[[str], str],
    apply: Callable[[list[str]], None],
    *,
    key: str,
    most: int | None = None,
) -> None:
    """Several of these runs: buttons, or a list to search in if there are many. `label` is plain text; `most` can be
    held for sure in the list alone, so that `apply` has to look too.
    """
    few = len(names) <= MOST_PILLS
    key = session.controlled(key, [name for name in names if name in chosen] if few else [*chosen])
    if few:
        st.pills(
            title,
            names,
            selection_mode="multi",
            format_func=lambda name: plain_markdown(label(name)),
            key=key,
            on_change=session.on(key, apply),
            width="stretch",
        )
    else:
        st.multiselect(
            title,
            names,
            format_func=label,
            max_selections=most,
            key=key,
            on_change=session.on(key, apply),
            width="stretch",
        )


def image_link(view: View, **more: Any) -> str:
    """The address of the viewer's page with this view's photos, up to the image_id that is to follow.

    `more`: parts of that page's view that differ from this one's.
    """
    photos_alone = View(
        filters=view.filters, run=view.run, focus=view.focus, sort=view.sort, palette=view.palette, runs=view.runs
    )
    photos_alone = replace(photos_alone, **more)
    return f"{IMAGE.lower()}?{urlencode([*encode(photos_alone), ('image', '')])}"


def sort_select(selection: Selection) -> None:
    view_select("Sort", "sort", {sort: sort_label(sort, selection.focus) for sort in SORTS}, width=300)


def colours_select() -> None:
    view_select("Colours", "palette", PALETTE_NAMES, width=240)


def heads(classes: Sequence[str]) -> list[str]:
    """The classes over the columns of a matrix, none much wider than the others."""
    return ["backgr." if name == BACKGROUND else str(name) for name in classes]


def view_select(label: str, part: str, names: Mapping[str, str], *, width: int) -> None:
    """A choice of one part of the view; the gallery begins anew."""
    key = session.controlled(f"w:{part}", getattr(session.view(), part))
    st.selectbox(
        label,
        list(names),
        format_func=lambda value: names[value],
        label_visibility="collapsed",
        key=key,
        on_change=session.on(key, lambda value: session.anew(**{part: value})),
        width=width,
    )


def view_switch(label: str, part: str, names: Mapping[str, str]) -> None:
    """The same for a few values, side by side; the gallery stays where it is."""
    key = session.controlled(f"w:{part}", getattr(session.view(), part))
    st.segmented_control(
        label,
        list(names),
        required=True,
        format_func=lambda value: names[value],
        label_visibility="collapsed",
        key=key,
        on_change=session.on(key, lambda value: session.change(**{part: value or getattr(session.view(), part)})),
    )


def remember_look(gallery: str) -> None:
    """Callback: the visitor changed how the tiles of this gallery are drawn."""
    look = components.look_of(gallery)
    if look is not None:
        opacity, size = _within(look.opacity, OPACITY_RANGE), _within(look.size, SIZE_RANGE)
        session.change(overlay=look.overlay, opacity=opacity, size=size)


def _within(value: int, limits: tuple[int, int]) -> int:
    return min(max(value, limits[0]), limits[1])


def pages(page: int, number: int, n: int, size: int, part: str = "page") -> None:
    """The way to the other pages of a gallery of `n` photos, `size` on each; `part` of the view keeps the page."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="pages"):
        first, last = (page - 1) * size + 1, min(page * size, n)
        ui.remark(f"{count(first)} to {count(last)} of {photos(n)}")
        key = session.controlled(f"w:{part}", page)
        st.pagination(number, key=key, on_change=session.on(key, lambda chosen: session.change(**{part: chosen})))


def key_figures(selection: Selection) -> None:
    figures: KeyFigures = selection.answer("key_figures")
    unreadable, n = len(data.failures(selection.source)), figures.photos
    ui.figures(
        [
            (count(figures.photos), f"photos of {count(data.total(selection.source))}"),
            (
                percent(figures.mean_foreground_share),
                f"mean foreground share, n = {_n(figures.mean_foreground_share, n)}",
            ),
            (score(figures.mean_confidence), f"mean confidence (0 to 1), n = {_n(figures.mean_confidence, n)}"),
            (f"{count(figures.agreeing)} of {count(figures.claiming)}", "folder label = animal"),
            (count(unreadable), "unreadable files in the store"),
        ]
    )


def _n(mean: float | None, photos_of_run: int) -> str:
    """A run has a measure for all of its photos or for none."""
    return count(0 if mean is None else photos_of_run)


def is_empty(selection: Selection) -> bool:
    """True if no photo passes; then the page has already said so."""
    figures: KeyFigures = selection.answer("key_figures")
    if figures.photos:
        return False
    if data.total(selection.source) == 0:
        st.info("This run holds no photos yet. If it is at work now, reload this page in a moment.")
    else:
        st.info(
            f"None of the {photos(data.total(selection.source))} passes all filters: "
            "take one away above, or clear them all."
        )
    return True


def folder_against_animal(selection: Selection, apply: OnFilters) -> None:
    """The matrix; a click on a cell hands the filters of its photos to `apply`, a second one what was before."""
    counts: pd.DataFrame = selection.answer("folder_against_animal", own=_OF_MATRIX)
    figures: KeyFigures = selection.answer("key_figures", own=_OF_MATRIX)
    counts, left_out = largest_labels(counts, counts.sum(axis=1), MOST_LABELS)
    labels, animals = [str(label) for label in counts.index], [str(animal) for animal in counts.columns]
    numbers: list[list[int]] = counts.to_numpy().tolist()
    with ui.card("Folder label against animal", f"photos, n = {count(figures.photos)}"):
        if not labels:
            ui.remark("This run's model knows neither cat nor dog: there is nothing to compare.")
            return
        if not figures.claiming:
            ui.remark("No folder here is named after cats or dogs, so none can be contradicted.")
        key = "folder_against_animal"

        def chosen() -> None:
            if cell := components.cell_of(key, len(labels), len(animals)):
                chosen_cell = Filters({"label": (labels[cell[0]],), "animal": (animals[cell[1]],)})
                apply(crossfilter.toggled(chosen_cell, _OF_MATRIX, session.view().filters))

        present = crossfilter.within(selection.filters, _OF_MATRIX)
        rows = [
            (
                named(label),
                [_cell(label, animal, number, present) for animal, number in zip(animals, line, strict=True)],
            )
            for label, line in zip(labels, numbers, strict=True)
        ]
        components.matrix("folder \\ network", animals, rows, key=key, on_cell=chosen)
        say_left_out(left_out)
        _contradictions(selection, figures, apply)


def largest_labels(frame: pd.DataFrame, photos_of: "pd.Series[int]", most: int) -> tuple[pd.DataFrame, int]:
    """The rows of the folders with most photos, in the frame's order, and how many rows are left out."""
    kept = set(photos_of.sort_values(ascending=False, kind="stable").index[:most])
    return frame[frame.index.isin(kept)], len(frame) - len(kept)


def say_left_out(number: int) -> None:
    if number:
        ui.remark(f"{count(number)} folders with fewer photos are not shown.")


def _cell(label: str, animal: str, number: int, present: Filters) -> Cell:
    claimed = animal_of_label(label)
    tone = "" if claimed is None or animal == "none" or not number else "agrees" if animal == claimed else "contradicts"
    saw = "neither cat nor dog" if animal == "none" else animal
    verdict = "" if claimed is None else "neither" if animal == "none" else tone
    own = Filters({"label": (label,), "animal": (animal,), "agreement": (verdict,)})
    chosen = crossfilter.marked(own.encode(), present) if present else None
    hint = f"{photos(number)}: folder {named(label)}, network sees {saw}"
    return Cell(value=number, tone=tone, hint=hint, chosen=chosen)


def _contradictions(selection: Selection, figures: KeyFigures, apply: OnFilters) -> None:
    if not figures.claiming:
        return
    rate = percent(figures.agreeing / figures.claiming)
    agreeing = f"{count(figures.agreeing)} of {count(figures.claiming)} agree ({rate})"
    ui.remark(f"{agreeing}. A click on a cell shows its photos.")
    contradicting = selection.answer("contradictions", own=_OF_MATRIX)
    only = crossfilter.apart(selection.filters, _OF_MATRIX).replaced("agreement", ("contradicts",))
    if contradicting and only != selection.filters:
        st.button(
            f"Show the {count(contradicting)} contradiction{'' if contradicting == 1 else 's'}",
            key="contradictions",
            on_click=apply,
            args=(only,),
        )
