"""Cached statistics of the selected photos: one function per figure or chart.

They take a `PhotoQuery` and return numbers and small frames, which are shared between visitors of the same selection.
"""

import pandas as pd
import streamlit as st

from dashboard.queries import photos as photo_queries
from dashboard.queries.source import HASHES, PhotoQuery
from seglib.classes import BACKGROUND
from seglib.query import columns, histograms, statistics
from seglib.query.statistics import KeyFigures

MEASURE_BINS = 50
"""Number of bins over a measure's full range; most runs fill only a few of them."""

_cached = st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=HASHES)
def _selected_rows(query: PhotoQuery) -> pd.DataFrame:
    """Return the counted photos for all statistics of a page, without columns that none of them needs."""
    frame = photo_queries.table(query.source)
    chosen = photo_queries.counted_positions(query.source, query.filters)
    return frame if len(chosen) == len(frame) else frame.drop(columns=["path", "image_id"]).iloc[chosen]


@_cached
def key_figures(query: PhotoQuery) -> KeyFigures:
    return statistics.key_figures(_selected_rows(query))


@_cached
def class_distribution(query: PhotoQuery) -> pd.DataFrame:
    return statistics.class_distribution(_selected_rows(query))


@_cached
def co_occurrence(query: PhotoQuery) -> pd.DataFrame:
    return statistics.co_occurrence(_selected_rows(query))


@_cached
def folder_vs_content(query: PhotoQuery) -> pd.DataFrame:
    return statistics.folder_vs_content(_selected_rows(query))


@_cached
def classes_of_labels(query: PhotoQuery) -> dict[str, str]:
    return statistics.classes_of_labels(_selected_rows(query))


@_cached
def count_contradictions(query: PhotoQuery) -> int:
    """Return the number of photos whose folder label names another class than the one that the model sees."""
    return int((columns.label_agreement(_selected_rows(query)) == "contradicts").sum())


@_cached
def share_by_label(query: PhotoQuery) -> pd.DataFrame:
    return histograms.share_by_label(_selected_rows(query))


@_cached
def share_spread_by_label(query: PhotoQuery, name: str) -> pd.DataFrame:
    return histograms.share_spread_by_label(_selected_rows(query), name)


@_cached
def share_histogram(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per 10 % of a class's share."""
    return histograms.histogram(columns.class_share(_selected_rows(query), name), bins=10)


@_cached
def measure_histogram(query: PhotoQuery, measure: str) -> pd.DataFrame:
    """Return the photos per bin of one of `CONFIDENCE_COLUMNS`."""
    return histograms.histogram(_selected_rows(query)[measure], MEASURE_BINS)


@_cached
def confidence_by_share(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per square of confidence and a class's share."""
    frame = _selected_rows(query)
    return histograms.density(frame["confidence"], columns.class_share(frame, name))


@_cached
def region_counts(query: PhotoQuery, name: str) -> pd.DataFrame:
    """Return the photos per number of a class's regions."""
    return histograms.blob_counts(_selected_rows(query), [name])


@_cached
def image_sizes(query: PhotoQuery) -> pd.DataFrame:
    return histograms.image_sizes(_selected_rows(query))


def main_class(query: PhotoQuery) -> str:
    """Return the class to focus on: one whose share is filtered, else the one present in most selected photos."""
    filtered = [key.partition(".")[2] for key in query.filters if key.startswith("share.")]
    if filtered:
        return filtered[0]
    present = class_distribution(query)["present"].drop(BACKGROUND, errors="ignore")
    return str(present.idxmax()) if present.any() else ""
