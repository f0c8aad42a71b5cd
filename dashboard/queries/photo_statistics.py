"""Cached statistics of the selected photos: one function per figure or chart.

They take a `PhotoQuery` and return numbers and small frames, which are shared between visitors of the same selection.
"""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from dashboard.queries import photos as photo_queries
from dashboard.queries.prepared.tables import prepared_table
from dashboard.queries.source import HASHES, PhotoQuery
from seglib.classes import BACKGROUND
from seglib.query.figures.frame import FrameFigures, class_columns
from seglib.query.figures.interface import Figures
from seglib.query.prepared.figures import PreparedFigures
from seglib.query.statistics import KeyFigures

MEASURE_BINS = 50
"""Number of bins over a measure's full range; most runs fill only a few of them."""

_cached = st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)


def _figures(query: PhotoQuery) -> Figures:
    if prepared := prepared_table(query.source):
        return PreparedFigures(prepared, query.filters)
    return FrameFigures(photo_queries.classes(query.source), partial(_rows, query), partial(_class_rows, query))


def _rows(query: PhotoQuery, names: Sequence[str]) -> pd.DataFrame:
    """Return the counted photos with these columns; those that the run lacks are left out."""
    frame = photo_queries.table(query.source)
    chosen = photo_queries.counted_positions(query.source, query.filters)
    frame = frame[[name for name in names if name in frame.columns]]
    return frame if len(chosen) == len(frame) else frame.iloc[chosen]


@st.cache_resource(max_entries=1, show_spinner=False, hash_funcs=HASHES)
def _class_rows(query: PhotoQuery) -> pd.DataFrame:
    """Return the counted photos with the pixels of every class, which several statistics of a page need.

    The largest value that is cached per selection, hence a single one; the statistics themselves are small.
    """
    return _rows(query, class_columns(photo_queries.classes(query.source)))


@_cached
def key_figures(query: PhotoQuery) -> KeyFigures:
    return _figures(query).key_figures()


@_cached
def class_distribution(query: PhotoQuery) -> pd.DataFrame:
    return _figures(query).class_distribution()


@_cached
def count_present(query: PhotoQuery) -> dict[str, int]:
    """Return class -> photos in which it is present."""
    if prepared := prepared_table(query.source):  # many times faster than the whole distribution
        return PreparedFigures(prepared, query.filters).count_present()
    return {str(name): int(number) for name, number in class_distribution(query)["present"].items()}


@_cached
def co_occurrence(query: PhotoQuery) -> pd.DataFrame:
    return _figures(query).co_occurrence()


@_cached
def folder_vs_content(query: PhotoQuery) -> pd.DataFrame:
    return _figures(query).folder_vs_content()


@_cached
def classes_of_labels(query: PhotoQuery) -> dict[str, str]:
    return _figures(query).classes_of_labels()


@_cached
def count_contradictions(query: PhotoQuery) -> int:
    """Return the number of photos whose folder label names another class than the one that the model sees."""
    return _figures(query).count_contradictions()


@_cached
def share_by_label(query: PhotoQuery) -> pd.DataFrame:
    return _figures(query).share_by_label()


@_cached
def share_spread_by_label(query: PhotoQuery, name: str) -> pd.DataFrame:
    return _figures(query).share_spread_by_label(name)


@_cached
def share_histogram(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per 10 % of a class's share."""
    return _figures(query).histogram(f"share.{name}", bins=10)


@_cached
def measure_histogram(query: PhotoQuery, measure: str) -> pd.DataFrame:
    """Return the photos per bin of one of `CONFIDENCE_COLUMNS`."""
    return _figures(query).histogram(measure, MEASURE_BINS)


@_cached
def confidence_by_share(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per square of confidence and a class's share."""
    return _figures(query).density("confidence", f"share.{name}")


@_cached
def region_counts(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per number of a class's regions."""
    return _figures(query).blob_counts([name])


@_cached
def image_sizes(query: PhotoQuery) -> pd.DataFrame:
    return _figures(query).image_sizes()


def main_class(query: PhotoQuery) -> str:
    """Return the class to focus on: one whose share is filtered, else the one present in most selected photos."""
    filtered = [key.partition(".")[2] for key in query.filters if key.startswith("share.")]
    if filtered:
        return filtered[0]
    present = {name: number for name, number in count_present(query).items() if name != BACKGROUND and number}
    return max(present, key=lambda name: present[name], default="")
