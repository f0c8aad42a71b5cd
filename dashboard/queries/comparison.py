"""Cached queries behind the Compare page.

They take a `Compared` (runs, photos, version of the counts) and return small frames and figures. Caches are keyed by
its few strings; cached values are shared between visitors and must not be modified.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import comparison_stats, ranking
from dashboard.queries import photos as photo_queries
from dashboard.queries import source as source_module
from dashboard.queries.ranking import Order
from dashboard.queries.source import Source
from seglib.evaluation import comparison as comparison_module
from seglib.evaluation import cost
from seglib.evaluation.comparison import Comparison
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store import pair_counts


@dataclass(frozen=True)
class Compared:
    """Runs compared over the photos of the first run that pass the filters."""

    source: Source
    counted: str
    """Version of the counts."""
    runs: tuple[str, ...]
    """A, then the others by name."""
    filters: Filters

    def unfiltered(self) -> "Compared":
        return replace(self, source=self.source.untagged(), filters=Filters())


HASHES = {
    **source_module.HASHES,
    Compared: lambda asked: (
        *source_module.HASHES[Source](asked.source),
        *(asked.counted, asked.runs, asked.filters.encode()),
    ),
}


def compared(source: Source, runs: Collection[str], filters: Filters) -> Compared:
    """Compare the source's run with these others."""
    others = sorted(run for run in runs if run != source.run)
    return Compared(source.regarding(filters), pair_counts.version(source.store()), (source.run, *others), filters)


def uncounted(asked: Compared) -> tuple[int, int]:
    """Return (photos computed for all runs, how many of them are not counted yet), ignoring the filters."""
    return _uncounted(asked.unfiltered())


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=HASHES)
def _uncounted(asked: Compared) -> tuple[int, int]:
    return comparison_module.uncounted(asked.source.store(), asked.runs)


@st.cache_resource(max_entries=2, show_spinner="Reading the counts", hash_funcs=HASHES)
def _comparison(asked: Compared) -> Comparison:
    """Return the comparison over all photos of the first run, ignoring the filters."""
    files = photo_queries.table(asked.source)[FILE_COLUMNS]
    return comparison_module.comparison(asked.source.store(), asked.runs, files=files)


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def comparison(asked: Compared) -> Comparison:
    """Return the comparison over the selected photos; must not be modified.

    The index of its files is their position in the run's table.
    """
    found, chosen = _comparison(asked.unfiltered()), photo_queries.selected(asked.source, asked.filters)
    at = np.flatnonzero(np.isin(found.files.index.to_numpy(), chosen, assume_unique=True))
    return found if len(at) == len(found.files) else found.taken(at)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def answer(asked: Compared, question: str, *texts: str) -> Any:
    """Answer one of `QUESTIONS`; `texts` holds its arguments, such as the two runs of a pair or a class."""
    return QUESTIONS[question](comparison(asked), *texts)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def disagreeing(asked: Compared, b: str, measure: str, name: str, flip: tuple[str, ...]) -> Order:
    """Return the rows of `comparison(asked).files`, sorted; see `comparisons.order`."""
    return comparison_stats.order(comparison(asked), asked.runs[0], b, measure, name=name, flip=flip)


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def disagreeing_pictures(asked: Compared, b: str, measure: str, name: str, flip: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the same order as positions in A's table, keeping only the first of identical files, for the viewer."""
    return ranking.pictures(comparison(asked).files, disagreeing(asked, b, measure, name, flip))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def costs(source: Source, runs: tuple[str, ...]) -> pd.DataFrame:
    return cost.costs(source.store(), runs)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=HASHES)
def truth_scores(asked: Compared) -> comparison_stats.Scores | None:
    """Return the accuracy of the runs on the selected photos, if the store has ground truth for some of them."""
    return comparison_stats.scores(asked.source.store(), asked.runs, comparison(asked).files)


def exported(asked: Compared, table: str, kind: str) -> bytes:
    """Export one of the tables of `seglib compare` for the selected photos."""
    found = comparison(asked)
    frame = {"pairs": found.pairs, "images": found.all_images, "flips": found.all_flips}[table]()
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


QUESTIONS: dict[str, Callable[..., Any]] = {
    "pair": comparison_stats.pair,
    "flips": lambda found, a, b, most: comparison_stats.flips(found, a, b, int(most)),
    "shares": comparison_stats.shares,
    "pairwise": comparison_stats.pairwise,
    "reference": comparison_stats.with_reference,
}
"""Name -> pure function of a comparison and string arguments."""
