"""Cached statistics of the selected photos: one function per figure or chart.

They take a `PhotoQuery` and return numbers and small frames, which are shared between visitors of the same selection.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.queries import photos as photo_queries
from dashboard.queries.source import HASHES, PhotoQuery
from seglib.classes import BACKGROUND
from seglib.masks.statistics import blobs_column, pixels_column
from seglib.query import columns, histograms, statistics
from seglib.query.statistics import KeyFigures

MEASURE_BINS = 50
"""Number of bins over a measure's full range; most runs fill only a few of them."""

_cached = st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)


_GRID = ["grid_width", "grid_height"]
_LABELS = ["run", "label", "label_class", "content"]


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
    pixels = [pixels_column(name) for name in columns.classes_of(photo_queries.table(query.source))]
    return _rows(query, [*_LABELS, *_GRID, *pixels])


@_cached
def key_figures(query: PhotoQuery) -> KeyFigures:
    return statistics.key_figures(_rows(query, [*_LABELS, *_GRID, "confidence", pixels_column(BACKGROUND)]))


@_cached
def class_distribution(query: PhotoQuery) -> pd.DataFrame:
    return statistics.class_distribution(_class_rows(query))


@_cached
def co_occurrence(query: PhotoQuery) -> pd.DataFrame:
    return statistics.co_occurrence(_class_rows(query))


@_cached
def folder_vs_content(query: PhotoQuery) -> pd.DataFrame:
    classes = columns.classes_of(photo_queries.table(query.source))
    return statistics.folder_vs_content(_rows(query, _LABELS), classes)


@_cached
def classes_of_labels(query: PhotoQuery) -> dict[str, str]:
    return statistics.classes_of_labels(_rows(query, _LABELS))


@_cached
def count_contradictions(query: PhotoQuery) -> int:
    """Return the number of photos whose folder label names another class than the one that the model sees."""
    return int((columns.label_agreement(_rows(query, _LABELS)) == "contradicts").sum())


@_cached
def share_by_label(query: PhotoQuery) -> pd.DataFrame:
    return histograms.share_by_label(_class_rows(query))


@_cached
def share_spread_by_label(query: PhotoQuery, name: str) -> pd.DataFrame:
    return histograms.share_spread_by_label(_rows(query, [*_LABELS, *_GRID, pixels_column(name)]), name)


@_cached
def share_histogram(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per 10 % of a class's share."""
    return histograms.histogram(columns.class_share(_rows(query, [*_GRID, pixels_column(name)]), name), bins=10)


@_cached
def measure_histogram(query: PhotoQuery, measure: str) -> pd.DataFrame:
    """Return the photos per bin of one of `CONFIDENCE_COLUMNS`."""
    return histograms.histogram(_rows(query, [measure])[measure], MEASURE_BINS)


@_cached
def confidence_by_share(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per square of confidence and a class's share."""
    frame = _rows(query, [*_GRID, pixels_column(name), "confidence"])
    return histograms.density(frame["confidence"], columns.class_share(frame, name))


@_cached
def region_counts(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per number of a class's regions."""
    return histograms.blob_counts(_rows(query, ["run", blobs_column(name)]), [name])


@_cached
def image_sizes(query: PhotoQuery) -> pd.DataFrame:
    return histograms.image_sizes(_rows(query, ["width", "height"]))


def main_class(query: PhotoQuery) -> str:
    """Return the class to focus on: one whose share is filtered, else the one present in most selected photos."""
    filtered = [key.partition(".")[2] for key in query.filters if key.startswith("share.")]
    if filtered:
        return filtered[0]
    present = class_distribution(query)["present"].drop(BACKGROUND, errors="ignore")
    return str(present.idxmax()) if present.any() else ""
