"""Cached queries behind the Compare page.

They take a `ComparisonQuery` (runs, photos, version of the counts) and return small frames and figures. Caches are
keyed by its few strings; cached values are shared between visitors and must not be modified.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import comparison_stats, ranking
from dashboard.queries import photos as photo_queries
from dashboard.queries.comparison_stats import Flips, Headline, PairSummary, TruthScores
from dashboard.queries.ranking import ImageOrder
from dashboard.queries.source import HASHES as SOURCE_HASHES
from dashboard.queries.source import RunSource
from dashboard.state.crossfilter import without_keys
from seglib.evaluation import cost
from seglib.evaluation.comparison import Comparison, load_comparison
from seglib.evaluation.comparison import count_pending as count_pending_in_store
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.evaluation.slices.cut import FieldValues
from seglib.evaluation.slices.figures import COMPARISON_MEASURES, SliceTable, slice_by, to_frame
from seglib.metrics.bootstrap import Estimate
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store import pair_counts


@dataclass(frozen=True)
class ComparisonQuery:
    """Runs compared over the photos of the first run that pass the filters."""

    source: RunSource
    counts_version: str
    """Version of the counts."""
    runs: tuple[str, ...]
    """A, then the others by name."""
    filters: Filters

    def without_filters(self) -> "ComparisonQuery":
        return replace(self, source=self.source.without_tags(), filters=Filters())


HASHES = {
    **SOURCE_HASHES,
    ComparisonQuery: lambda query: (
        SOURCE_HASHES[RunSource](query.source),
        *(query.counts_version, query.runs, query.filters.encode()),
    ),
}


_cached = st.cache_data(max_entries=32, show_spinner=False, hash_funcs=HASHES)


def comparison_query(source: RunSource, runs: Collection[str], filters: Filters) -> ComparisonQuery:
    """Compare the source's run with these others."""
    others = sorted(run for run in runs if run != source.run)
    return ComparisonQuery(
        source.for_filters(filters), pair_counts.version(source.store()), (source.run, *others), filters
    )


def count_pending(query: ComparisonQuery) -> tuple[int, int]:
    """Return (photos computed for all runs, how many of them are not counted yet), ignoring the filters."""
    return _count_pending(query.without_filters())


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=HASHES)
def _count_pending(query: ComparisonQuery) -> tuple[int, int]:
    return count_pending_in_store(query.source.store(), query.runs)


@st.cache_resource(max_entries=2, show_spinner="Reading the counts", hash_funcs=HASHES)
def _full_comparison(query: ComparisonQuery) -> Comparison:
    """Return the comparison over all photos of the first run, ignoring the filters."""
    files = photo_queries.table(query.source)[FILE_COLUMNS]
    return load_comparison(query.source.store(), query.runs, files=files)


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def comparison(query: ComparisonQuery) -> Comparison:
    """Return the comparison over the selected photos, each counted once; must not be modified.

    The index of its files is their position in the run's table.
    """
    full, chosen = (
        _full_comparison(query.without_filters()),
        photo_queries.counted_positions(query.source, query.filters),
    )
    rows = np.flatnonzero(np.isin(full.files.index.to_numpy(), chosen, assume_unique=True))
    return full if len(rows) == len(full.files) else full.take(rows)


@_cached
def summarize_pair(query: ComparisonQuery, a: str, b: str) -> PairSummary:
    return comparison_stats.summarize_pair(comparison(query), a, b)


@_cached
def headline(query: ComparisonQuery, a: str, b: str, limit: int) -> Headline:
    return comparison_stats.headline(comparison(query), a, b, limit)


@_cached
def class_shares_of_pair(query: ComparisonQuery, a: str, b: str) -> pd.DataFrame:
    return comparison_stats.class_shares_of_pair(comparison(query), a, b)


@_cached
def flips(query: ComparisonQuery, a: str, b: str, limit: int) -> Flips:
    return comparison_stats.flips(comparison(query), a, b, limit)


@_cached
def shares(query: ComparisonQuery, a: str, b: str, name: str) -> pd.DataFrame:
    return comparison_stats.shares(comparison(query), a, b, name)


def slices(query: ComparisonQuery, source: RunSource, pair: tuple[str, str], by: str) -> SliceTable:
    """Return a pair's slices by a field of the active run, `source`, over the photos that pass all other filters."""
    filters = without_keys(query.filters, (by,))
    source = source if by == "tag" else source.for_filters(filters)
    return _slices(replace(query, source=source, filters=filters), pair, by)


@st.cache_data(max_entries=32, show_spinner="Measuring the slices", hash_funcs=HASHES)
def _slices(query: ComparisonQuery, pair: tuple[str, str], by: str) -> SliceTable:
    found = comparison(query)
    values = FieldValues.read(photo_queries.table_with(query.source, by), by).take(found.files.index.to_numpy())
    return slice_by(values, found.measures[pair], COMPARISON_MEASURES)


@_cached
def pairwise_matrix(query: ComparisonQuery) -> tuple[pd.DataFrame, Estimate]:
    return comparison_stats.pairwise_matrix(comparison(query))


@_cached
def agreement_with(query: ComparisonQuery, reference: str) -> dict[str, Estimate]:
    return comparison_stats.agreement_with(comparison(query), reference)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def disagreement_order(query: ComparisonQuery, b: str, measure: str, name: str, flip: tuple[str, ...]) -> ImageOrder:
    """Return the rows of `comparison(query).files`, sorted; see `comparison_stats.sort_by_disagreement`."""
    return comparison_stats.sort_by_disagreement(comparison(query), query.runs[0], b, measure, name=name, flip=flip)


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def disagreement_positions(
    query: ComparisonQuery, b: str, measure: str, name: str, flip: tuple[str, ...]
) -> NDArray[np.intp]:
    """Return the same order as positions in A's table, keeping only the first of identical files, for the viewer."""
    return ranking.unique_positions(comparison(query).files, disagreement_order(query, b, measure, name, flip))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def costs(source: RunSource, runs: tuple[str, ...]) -> pd.DataFrame:
    return cost.costs(source.store(), runs)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=HASHES)
def truth_scores(query: ComparisonQuery) -> TruthScores | None:
    """Return the accuracy of the runs on the selected photos, if the store has ground truth for some of them."""
    return comparison_stats.scores(query.source.store(), query.runs, comparison(query).files)


def export_table(query: ComparisonQuery, table: str, kind: str) -> bytes:
    """Export one of the tables of `seglib compare` for the selected photos."""
    result = comparison(query)
    frame = {"pairs": result.pairs, "images": result.all_images, "flips": result.all_flips}[table]()
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


def export_slices(query: ComparisonQuery, source: RunSource, by: str, kind: str) -> bytes:
    """Export the slices of every pair by a field of the active run, `source`."""
    pairs = comparison(query).counts
    frame = to_frame(({"a": a, "b": b}, slices(query, source, (a, b), by)) for a, b in pairs)
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)
