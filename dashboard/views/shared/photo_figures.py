"""Card with the figures of one photo, from one model or several side by side.

Takes titles and rows as made by `statistics.stats_row`.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import layout
from dashboard.formatting import DASH, count, percent, score
from seglib.classes import BACKGROUND
from seglib.masks.statistics import CONFIDENCE_COLUMNS, blobs_column, pixels_column
from seglib.query.columns import classes_of

ImageStatistics = dict[str, Any]
"""`statistics.stats_row` of one image; `damage` explains in a sentence why measures are missing."""


MAX_CLASSES = 16
"""Maximum number of classes in the table before the visitor asks for the others."""


def render(titled_statistics: Sequence[tuple[str, ImageStatistics | None]]) -> None:
    """Show share, pixels and blobs (regions) per class, and the measures; None where a model has not seen the photo."""
    statistics = [one for _, one in titled_statistics]
    numbered = [f"{number} {title}" for number, (title, _) in enumerate(titled_statistics, 1)]
    with layout.card("Figures", "of the masks, each on its own grid"):
        groups = [("", 1), *((title, 3) for title in numbered)] if len(titled_statistics) > 1 else []
        head = ["class", *("share", "pixels", "blobs") * len(titled_statistics)]
        rows = [
            [name, *(text for one in statistics for text in _class_cells(one, name))] for name in _classes(statistics)
        ]
        number = len(rows) if len(rows) <= MAX_CLASSES + 1 else MAX_CLASSES
        layout.html_table(groups, head, rows[:number])
        if rows[number:]:
            with st.expander(f"{count(len(rows) - number)} more classes"):
                layout.html_table(groups, head, rows[number:])
        layout.html_table(
            [],
            [
                "certainty, 0 to 1",
                *(title if len(titled_statistics) > 1 else "mean of the photo" for title in numbered),
            ],
            [
                *(
                    [name.replace("_", " "), *(_measure(one, name) for one in statistics)]
                    for name in CONFIDENCE_COLUMNS
                ),
                ["size of the mask", *(_mask_size(one) for one in statistics)],
            ],
        )
        layout.remarks(list(dict.fromkeys(one["damage"] for one in statistics if one is not None and "damage" in one)))


def _classes(statistics: Sequence[ImageStatistics | None]) -> list[str]:
    """Return the classes with a pixel in any run, largest first, background last."""
    largest: dict[str, float] = {}
    for image_statistics in statistics:
        for name in () if image_statistics is None else classes_of(pd.DataFrame(columns=[*image_statistics.keys()])):
            if share := _share(image_statistics, name):
                largest[name] = max(largest.get(name, 0), share)
    return sorted(largest, key=lambda name: (name == BACKGROUND, -largest[name]))


def _share(image_statistics: Any, name: str) -> float | None:
    pixels = image_statistics.get(pixels_column(name))
    return (
        None
        if pixels is None
        else float(pixels) / float(image_statistics["grid_width"] * image_statistics["grid_height"])
    )


def _class_cells(image_statistics: ImageStatistics | None, name: str) -> tuple[str, str, str]:
    if image_statistics is None or (share := _share(image_statistics, name)) is None:
        return percent(None), percent(None), percent(None)
    return (
        percent(share),
        count(int(image_statistics[pixels_column(name)])),
        count(int(image_statistics[blobs_column(name)])),
    )


def _measure(image_statistics: ImageStatistics | None, name: str) -> str:
    value = None if image_statistics is None else image_statistics[name]
    return score(None if value is None else float(value))


def _mask_size(image_statistics: ImageStatistics | None) -> str:
    return (
        DASH
        if image_statistics is None
        else f"{count(int(image_statistics['grid_width']))} x {count(int(image_statistics['grid_height']))} pixels"
    )
