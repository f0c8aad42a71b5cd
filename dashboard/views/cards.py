"""The charts as cards: title, what one must know to read it, the figure; what is clicked becomes a filter.

In: a `Selection`. Out: elements on the page. Each card counts the photos that pass all filters but its own, and marks
what its own let pass. Knows nothing of pages.
"""

import pandas as pd

from dashboard import charts, data, ui
from dashboard.data import Selection
from dashboard.formats import count, percent
from dashboard.views import parts
from seglib.classes import ANIMALS, PRESENT_SHARE

BY_LABEL = ("label",)


def class_distribution(selection: Selection, most: int = charts.MOST_CLASSES) -> None:
    own = ("present",)
    frame: pd.DataFrame = selection.answer("class_distribution", own=own)
    there = int((frame["present"] > 0).sum())
    with ui.card("Class distribution", _TWO_BARS):
        ui.chart(
            "class_distribution",
            lambda present: charts.marked(charts.class_distribution(frame, most), present),
            own,
            alt=f"Bars over {count(_most(frame, 'n'))} photos: mean share of each class. {charts.in_words(frame)}",
        )
        if there > most:
            ui.remark(f"The {most} largest of {there} classes that are present in a photo.")


def share_by_label(selection: Selection) -> None:
    means: pd.DataFrame = selection.answer("share_by_label", own=BY_LABEL)
    means, left_out = parts.largest_labels(means, means["n"], parts.MOST_LABELS)
    with ui.card("Share by folder label", f"mean share of each class, n = {count(int(means['n'].sum()))} photos"):
        ui.chart(
            "share_by_label",
            lambda present: charts.marked(charts.share_by_label(means), present),
            BY_LABEL,
            alt=f"Stacked bars: mean share of each class in {count(len(means))} folders.",
        )
        parts.say_left_out(left_out)


def share_spread(selection: Selection) -> None:
    """How a class's share differs within and between folders."""
    name = selection.focus
    with ui.card(f"Share of {name} by folder label" if name else "Share by folder label", _SPREAD_NOTE):
        spread: pd.DataFrame = selection.answer("share_spread", name, own=BY_LABEL) if name else pd.DataFrame()
        if spread.empty:
            ui.remark(_NO_CLASS)
            return
        spread, left_out = parts.largest_labels(spread, spread["n"], parts.MOST_LABELS)
        words = ", ".join(f"{label or 'no label'} {percent(float(m))}" for label, m in spread["median"].items())
        colour = charts.class_colours([name])[name]
        ui.chart(
            "share_spread",
            lambda present: charts.marked(charts.share_spread(spread, colour), present),
            BY_LABEL,
            alt=f"Boxes: median share of {name} per folder: {words}.",
        )
        parts.say_left_out(left_out)


def share(selection: Selection) -> None:
    """The share of the chosen class as a histogram."""
    name = selection.focus
    if not name:
        with ui.card("Share of a class"):
            ui.remark(_NO_CLASS)
        return
    key = f"share.{name}"
    bins: pd.DataFrame = selection.answer("share", name, own=(key,))
    with ui.card(f"Share of {name}", f"photos per 10 %, n = {_n(bins)}"):
        ui.chart(
            "share",
            lambda present: charts.marked(
                charts.histogram(bins, key, colour=charts.class_colours([name])[name], as_share=True), present
            ),
            (key,),
            alt=f"Histogram of the share of {name} in {_n(bins)} photos. {charts.fullest(bins, as_share=True)}",
        )


def measure(selection: Selection, key: str, *, height: int = 170) -> None:
    """Confidence, low margin or entropy as a histogram."""
    bins: pd.DataFrame = selection.answer(key, own=(key,))
    title, meaning = _MEASURES[key]
    with ui.card(title, f"{meaning}; photos per {1 / data.MEASURE_BINS:g}, n = {_n(bins)}"):
        if not int(bins["count"].sum()):
            ui.remark(_NO_PROBABILITIES)
            return
        ui.chart(
            key,
            lambda present: charts.marked(charts.histogram(bins, key, height=height), present),
            (key,),
            alt=f"Histogram of {title.lower()} in {_n(bins)} photos. {charts.fullest(bins)}",
        )


def confidence_against_share(selection: Selection, *, height: int = 200) -> None:
    name = selection.focus
    keys = ("confidence", f"share.{name}")
    frame: pd.DataFrame = selection.answer("confidence_share", name, own=keys) if name else pd.DataFrame({"count": []})
    title = f"Confidence and share of {name}" if name else "Confidence and share of a class"
    with ui.card(title, f"n = {_n(frame)} photos; {_DRAG}"):
        if frame.empty:
            ui.remark(_NO_PROBABILITIES if name else _NO_CLASS)
            return
        ui.chart(
            "confidence_share",
            lambda present: charts.squares(frame, keys, ("confidence", f"share of {name}"), present, height=height),
            keys,
            alt=f"Squares: {_n(frame)} photos by confidence and share of {name}.",
            boxes=True,
        )


def regions(selection: Selection) -> None:
    """How many animals: photos by number of regions of cat and dog, or of the chosen class."""
    names = _counted(selection)
    title = "How many regions" if names == [selection.focus] else "How many animals"
    if not names:
        with ui.card(title):
            ui.remark(_NO_CLASS)
        return
    own = [f"blobs.{name}" for name in names]
    counts = pd.concat([selection.answer("regions", name, own=own) for name in names], axis=1)
    n = count(int(counts.sum().max()))
    with ui.card(title, f"photos by number of connected regions of at least {percent(PRESENT_SHARE)}, n = {n}"):
        ui.chart(
            "regions",
            lambda present: charts.marked(charts.regions(counts), present),
            own,
            alt=f"Bars: {n} photos by number of regions of {' and '.join(names)}.",
        )


def sizes(selection: Selection) -> None:
    own = ("width", "height")
    frame: pd.DataFrame = selection.answer("sizes", own=own)
    with ui.card("Photo sizes", f"n = {_n(frame)} photos; {_DRAG}"):
        ui.chart(
            "sizes",
            lambda present: charts.squares(frame, own, ("width (px)", "height (px)"), present, unit=False),
            own,
            alt=f"Squares: {_n(frame)} photos by width and height in pixels.",
            boxes=True,
        )


_NO_CLASS = "There is nothing to show: no class but the background was found."
_NO_PROBABILITIES = "The masks of this run came without probabilities."
_SPREAD_NOTE = "box: half of the photos, line: nine tenths"
_TWO_BARS = f"solid: mean share of the photo; pale: photos with at least {percent(PRESENT_SHARE)} of it"
_DRAG = "drag a box to filter"
_MEASURES = {
    "confidence": ("Confidence", "mean winning probability, 0 to 1"),
    "low_margin": ("Low margin", "share of undecided pixels, 0 to 1"),
    "entropy": ("Entropy", "mean over pixels, 0 to 1"),
}


def _counted(selection: Selection) -> list[str]:
    """The animals that the run's model knows; else the chosen class."""
    animals = [name for name in ANIMALS if name in selection.classes]
    return animals or ([selection.focus] if selection.focus else [])


def _n(frame: pd.DataFrame) -> str:
    return count(int(frame["count"].sum()))


def _most(frame: pd.DataFrame, column: str) -> int:
    return int(frame[column].max()) if len(frame) else 0
