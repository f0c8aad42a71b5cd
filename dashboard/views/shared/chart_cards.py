"""Charts as cards: a title, a note on how to read them, and the figure; clicking a mark sets a filter.

Each takes a `Selection` and draws on the page. A card counts the photos that pass all filters but its own, and
highlights what its own filter lets through.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.charts import photos as photo_charts
from dashboard.charts import tables, theme
from dashboard.components import layout
from dashboard.components import matrix as matrix_component
from dashboard.components.matrix import MatrixCell
from dashboard.formatting import count, display_name, percent, photo_count
from dashboard.queries import photo_statistics
from dashboard.queries.photos import Selection
from dashboard.state import crossfilter, session
from dashboard.views.shared import crossfilter_chart
from dashboard.views.shared.controls import OnFilters
from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE
from seglib.query.filters import Filters
from seglib.query.statistics import KeyFigures
from seglib.store.content import NO_CONTENT

LABEL_FILTERS = ("label",)
_MATRIX_FILTERS = ("label", "animal", "content", "agreement")
"""Filters set by the matrix of folder and content, now or by links of earlier versions."""

_MEASURE_KEY = "w:certainty"

MAX_LABELS = 12
"""Maximum number of folders in a chart, and of folders and classes in a matrix; those with the most photos are kept."""

_NO_CLASS = "There is nothing to show: no class other than the background was found."
_NO_PROBABILITIES = "This run has no confidence: its masks came without probabilities."
_SPREAD_NOTE = "box: middle half of the photos, line: middle nine tenths"
_DRAG = "drag a box to filter"
_MEASURES = {
    "confidence": ("Confidence", "mean winning probability of the pixels"),
    "entropy": ("Entropy", "mean over the pixels, 0 to 1"),
    "low_margin": ("Undecided pixels", "share of pixels whose two best classes are close"),
}
"""Measure of certainty -> its title and meaning; the first is the one that a page shows."""


def class_distribution(selection: Selection, limit: int = theme.MAX_CLASSES) -> None:
    keys = ("present",)
    frame = photo_statistics.class_distribution(selection.query(keys))
    found = frame.drop(BACKGROUND, errors="ignore")
    class_count, n = int((found["present"] > 0).sum()), count(_column_max(frame, "n"))
    note = f"mean share of a photo; photos that show it, n = {n}"
    with layout.card("Class distribution", note):
        if not class_count:
            layout.remark(_NO_CLASS)
            return
        crossfilter_chart.crossfilter_chart(
            "class_distribution",
            lambda present: theme.fade_unselected(photo_charts.class_distribution(frame, limit), present),
            keys,
            alt=(
                f"Bars over {n} photos: mean share of each class, and photos that show it. "
                f"{theme.describe_distribution(found)}"
            ),
        )
        texts = [f"The {limit} largest of {class_count} classes."] if class_count > limit else []
        if BACKGROUND in frame.index:
            texts.append(f"Background: {percent(float(frame['mean_share'][BACKGROUND]))} of a photo.")
        layout.remarks([" ".join(texts)] if texts else [])


def share_by_label(selection: Selection) -> None:
    means = photo_statistics.share_by_label(selection.query(LABEL_FILTERS))
    means, left_out = largest_labels(means, means["n"], MAX_LABELS)
    with layout.card("Share by folder", f"mean share of each class, n = {count(int(means['n'].sum()))} photos"):
        crossfilter_chart.crossfilter_chart(
            "share_by_label",
            lambda present: theme.fade_unselected(photo_charts.share_by_label(means), present),
            LABEL_FILTERS,
            alt=f"Stacked bars: mean share of each class in {count(len(means))} folders.",
        )
        note_left_out(left_out)


def share_spread(selection: Selection) -> None:
    """Show how a class's share differs within and between folders."""
    name = selection.focus
    with layout.card(f"Share of {name} by folder" if name else "Share of a class by folder", _SPREAD_NOTE):
        spread = photo_statistics.share_spread_by_label(selection.query(LABEL_FILTERS), name) if name else None
        if spread is None or spread.empty:
            layout.remark(_NO_CLASS)
            return
        spread, left_out = largest_labels(spread, spread["n"], MAX_LABELS)
        words = ", ".join(f"{label or 'no label'} {percent(float(m))}" for label, m in spread["median"].items())
        colour = theme.class_colour(name, selection.run.classes)
        crossfilter_chart.crossfilter_chart(
            "share_spread",
            lambda present: theme.fade_unselected(photo_charts.share_spread(spread, colour), present),
            LABEL_FILTERS,
            alt=f"Boxes: median share of {name} per folder: {words}.",
        )
        note_left_out(left_out)


def share(selection: Selection) -> None:
    """Show a histogram of the chosen class's share."""
    name = selection.focus
    if not name:
        with layout.card("Share of a class"):
            layout.remark(_NO_CLASS)
        return
    key = f"share.{name}"
    bins = photo_statistics.share_histogram(selection.query((key,)), name)
    with layout.card(f"Share of {name}", f"photos per 10 %, n = {_n(bins)}"):
        crossfilter_chart.crossfilter_chart(
            "share",
            lambda present: theme.fade_unselected(
                photo_charts.histogram(
                    bins, key, colour=theme.class_colour(name, selection.run.classes), as_share=True
                ),
                present,
            ),
            (key,),
            alt=(
                f"Histogram of the share of {name} in {_n(bins)} photos. "
                f"{theme.describe_histogram(bins, as_share=True)}"
            ),
        )


def certainty(selection: Selection, *, height: int = 160) -> None:
    """Show a histogram of confidence; the other measures of certainty are a click away."""
    filtered = [key for key in _MEASURES if key in selection.filters]
    key = st.session_state.setdefault(_MEASURE_KEY, filtered[0] if filtered else next(iter(_MEASURES)))
    bins = photo_statistics.measure_histogram(selection.query((key,)), key)
    title, meaning = _MEASURES[key]
    with layout.card(title, f"{meaning}, n = {_n(bins)} photos"):
        if not int(bins["count"].sum()):
            layout.remark(_NO_PROBABILITIES)
            return
        st.segmented_control(
            "Measure of certainty",
            list(_MEASURES),
            format_func=lambda name: _MEASURES[name][0],
            required=True,
            label_visibility="collapsed",
            key=_MEASURE_KEY,
            persist_state="session",
        )
        crossfilter_chart.crossfilter_chart(
            key,
            lambda present: theme.fade_unselected(photo_charts.histogram(bins, key, height=height), present),
            (key,),
            alt=f"Histogram of {title.lower()} in {_n(bins)} photos. {theme.describe_histogram(bins)}",
        )


def confidence_against_share(selection: Selection, *, height: int = 190) -> None:
    name = selection.focus
    keys = ("confidence", f"share.{name}")
    query = selection.query(keys)
    frame = photo_statistics.confidence_by_share(query, name) if name else pd.DataFrame({"count": []})
    title = f"Confidence and share of {name}" if name else "Confidence and share of a class"
    with layout.card(title, f"n = {_n(frame)} photos; {_DRAG}"):
        if frame.empty:
            layout.remark(_NO_PROBABILITIES if name else _NO_CLASS)
            return
        crossfilter_chart.crossfilter_chart(
            "confidence_share",
            lambda present: photo_charts.squares(
                frame, keys, ("confidence", f"share of {name}"), present, height=height
            ),
            keys,
            alt=f"Squares: {_n(frame)} photos by confidence and share of {name}.",
            boxes=True,
        )


def regions(selection: Selection) -> None:
    """Show photos by number of regions of cat and dog, or of the chosen class."""
    names = _region_classes(selection)
    title = "How many regions" if names == [selection.focus] else "How many animals"
    if not names:
        with layout.card(title):
            layout.remark(_NO_CLASS)
        return
    keys = [f"blobs.{name}" for name in names]
    query = selection.query(keys)
    counts = pd.concat([photo_statistics.region_counts(query, name) for name in names], axis=1)
    n = count(int(counts.sum().max()))
    with layout.card(title, f"connected regions of at least {percent(PRESENT_SHARE)} of a photo, n = {n} photos"):
        crossfilter_chart.crossfilter_chart(
            "regions",
            lambda present: theme.fade_unselected(
                photo_charts.regions(counts, theme.class_colours(selection.run.classes)), present
            ),
            keys,
            alt=f"Bars: {n} photos by number of regions of {' and '.join(names)}.",
        )


def sizes(selection: Selection) -> None:
    keys = ("width", "height")
    frame = photo_statistics.image_sizes(selection.query(keys))
    with layout.card("Photo sizes", f"n = {_n(frame)} photos; {_DRAG}"):
        crossfilter_chart.crossfilter_chart(
            "sizes",
            lambda present: photo_charts.squares(frame, keys, ("width (px)", "height (px)"), present, unit=False),
            keys,
            alt=f"Squares: {_n(frame)} photos by width and height in pixels.",
            boxes=True,
        )


def _region_classes(selection: Selection) -> list[str]:
    """Return the animals that the run's model knows, else the chosen class."""
    animals = [name for name in ANIMALS if name in selection.classes]
    return animals or ([selection.focus] if selection.focus else [])


def _n(frame: pd.DataFrame) -> str:
    return count(int(frame["count"].sum()))


def _column_max(frame: pd.DataFrame, column: str) -> int:
    return int(frame[column].max()) if len(frame) else 0


def folder_against_content(selection: Selection, apply: OnFilters) -> None:
    """Show the matrix; clicking a cell passes its filters to `apply`, clicking again passes the filters without it."""
    query = selection.query(_MATRIX_FILTERS)
    frame, figures = photo_statistics.folder_vs_content(query), photo_statistics.key_figures(query)
    with layout.card("Folder and content agree?", f"n = {photo_count(figures.photos)}; a click shows them"):
        if frame.empty:
            layout.remark(
                "No folder here is named after a class that this run's model knows, so there is nothing to compare. "
                "Which class a label names can be set on the Runs page."
            )
            return
        if not figures.claiming:
            layout.remark("No folder of these photos is named after a class, so there is nothing to contradict.")
        key = "folder_against_animal"
        counts = _largest_cells(frame, f"{key}:all")
        labels, contents = [str(label) for label in counts.index], [str(content) for content in counts.columns]

        def apply_cell() -> None:
            if cell := matrix_component.read_cell(key, len(labels), len(contents)):
                chosen_cell = Filters({"label": (labels[cell[0]],), "content": (contents[cell[1]],)})
                apply(crossfilter.toggle(chosen_cell, _MATRIX_FILTERS, session.view().filters))

        active = crossfilter.only_keys(selection.filters, _MATRIX_FILTERS)
        named = photo_statistics.classes_of_labels(query)
        numbers: list[list[int]] = counts.to_numpy().tolist()
        rows = [
            (
                display_name(label),
                [
                    _cell(label, named.get(label), content, number, contents=contents, active=active)
                    for content, number in zip(contents, line, strict=True)
                ],
            )
            for label, line in zip(labels, numbers, strict=True)
        ]
        table = tables.cells(("folder", "seen"), {"photos": counts})
        matrix_component.matrix("folder \\ model", contents, rows, key=key, on_cell=apply_cell, table=table)
        _contradictions(selection, figures, apply)


def _largest_cells(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return the folders and classes with the most photos, the largest first, with a switch that shows all of them.

    A matrix that is small enough stays as it is.
    """
    classes = frame.columns.drop(NO_CONTENT)
    if len(frame) <= MAX_LABELS and len(classes) <= MAX_LABELS:
        return frame
    by_label, by_class = (
        numbers.sort_values(ascending=False, kind="stable").index
        for numbers in (frame.sum(axis=1), frame[classes].sum())
    )
    words = [f"{count(n)} {name}" for n, name in ((len(frame), "folders"), (len(classes), "classes")) if n > MAX_LABELS]
    limit = None if st.toggle(f"Show all {' and '.join(words)}", key=key) else MAX_LABELS
    return frame.loc[by_label[:limit], [*by_class[:limit], NO_CONTENT]]


def largest_labels(frame: pd.DataFrame, photos_of: "pd.Series[int]", limit: int) -> tuple[pd.DataFrame, int]:
    """Return the rows of the folders with the most photos, in the frame's order, and the number of rows left out."""
    labels = set(photos_of.sort_values(ascending=False, kind="stable").index[:limit])
    return frame[frame.index.isin(labels)], len(frame) - len(labels)


def note_left_out(number: int) -> None:
    if number:
        layout.remark(f"{count(number)} folders with fewer photos are not shown.")


def _cell(
    label: str, named: str | None, content: str, number: int, *, contents: Sequence[str], active: Filters
) -> MatrixCell:
    """Return the cell of a label, which names the class `named`, and a content, one of `contents`."""
    verdict = "" if named is None else "neither" if content == NO_CONTENT else "agrees" if content == named else ""
    if named is not None and not verdict:
        verdict = "contradicts"
    tone = verdict if number and verdict != "neither" else ""
    either = dict.fromkeys(("content", "animal"), (content,))  # links of earlier versions filter by animal
    cell_filters = Filters({"label": (label,), **either, "agreement": (verdict,)})
    chosen = crossfilter.is_selected(cell_filters.encode(), active) if active else None
    saw = content
    if content == NO_CONTENT:
        saw = "neither cat nor dog" if {*contents} == {*ANIMALS, NO_CONTENT} else "none of these classes"
    hint = f"{photo_count(number)}: folder {display_name(label)}, model sees {saw}"
    return MatrixCell(value=number, tone=tone, hint=hint, chosen=chosen)


def _contradictions(selection: Selection, figures: KeyFigures, apply: OnFilters) -> None:
    if not figures.claiming:
        return
    rate = percent(figures.agreeing / figures.claiming)
    layout.remark(f"{count(figures.agreeing)} of {count(figures.claiming)} agree ({rate}).")
    contradicting = photo_statistics.count_contradictions(selection.query(_MATRIX_FILTERS))
    only = crossfilter.without_keys(selection.filters, _MATRIX_FILTERS).replace("agreement", ("contradicts",))
    if contradicting and only != selection.filters:
        st.button(
            f"Show the {count(contradicting)} contradiction{'' if contradicting == 1 else 's'}",
            key="contradictions",
            on_click=apply,
            args=(only,),
        )
