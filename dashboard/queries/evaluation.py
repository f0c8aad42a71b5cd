"""Cached queries behind the Evaluate page.

They take an `Evaluated` (ground truth, runs, photos, version of the counts) and return small frames, figures and mask
ids. Caches are keyed by its few strings; cached values are shared between visitors and must not be modified.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import evaluation_stats, ranking
from dashboard.queries import photos as photo_queries
from dashboard.queries import source as source_module
from dashboard.queries.ranking import Order
from dashboard.queries.source import Source
from seglib.evaluation import evaluation as evaluation_module
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.evaluation.evaluation import Evaluation
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import Truth
from seglib.store.store import Store


@dataclass(frozen=True)
class Evaluated:
    """Runs evaluated against a ground truth over the photos of the active run that pass the filters."""

    source: Source
    counted: str
    """Version of the counts."""
    truth: str
    runs: tuple[str, ...]
    filters: Filters

    def unfiltered(self) -> "Evaluated":
        return replace(self, source=self.source.untagged(), filters=Filters())


HASHES = {
    **source_module.HASHES,
    Evaluated: lambda asked: (
        *source_module.HASHES[Source](asked.source),
        *(asked.counted, asked.truth, asked.runs, asked.filters.encode()),
    ),
}


def evaluated(source: Source, about: Truth, runs: Sequence[str], filters: Filters) -> Evaluated:
    return Evaluated(source.regarding(filters), pair_counts.version(source.store()), about.id, tuple(runs), filters)


@st.cache_resource(max_entries=2, show_spinner="Reading the counts", hash_funcs=HASHES)
def _evaluations(asked: Evaluated) -> list[Evaluation]:
    """Return the evaluations over all photos of the active run that every run is evaluated on, ignoring the filters."""
    store, files = asked.source.store(), photo_queries.table(asked.source)[FILE_COLUMNS]
    about = ground_truth.find(store, asked.truth)
    return evaluation_module.together(
        [evaluation_module.evaluation(store, about, run, files=files) for run in asked.runs]
    )


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def evaluations(asked: Evaluated) -> list[Evaluation]:
    """Return the evaluations over the selected photos; must not be modified.

    The index of their files is their position in the run's table.
    """
    found, chosen = _evaluations(asked.unfiltered()), photo_queries.selected(asked.source, asked.filters)
    if not found:
        return found
    keep = np.isin(found[0].files.index.to_numpy(), chosen, assume_unique=True)
    return found if keep.all() else [one.selected(keep) for one in found]


def evaluation(asked: Evaluated, run: str) -> Evaluation:
    return next(one for one in evaluations(asked) if one.run.run == run)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def answer(asked: Evaluated, question: str, run: str = "", most: int = 0) -> Any:
    """Answer one of `QUESTIONS`, for `run` if the question is about a single run."""
    return QUESTIONS[question](evaluations(asked), run and evaluation(asked, run), most)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def worst(asked: Evaluated, run: str, grade: str, name: str, cell: tuple[str, ...]) -> Order:
    """Return the rows of the evaluation's files, sorted; see `evaluations.order`."""
    return evaluation_stats.order(evaluation(asked, run), grade, name, cell)


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def worst_pictures(asked: Evaluated, run: str, grade: str, name: str, cell: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the same order as positions in the active run's table, keeping only the first of identical files."""
    return ranking.pictures(evaluation(asked, run).files, worst(asked, run, grade, name, cell))


@st.cache_resource(max_entries=4, show_spinner=False)
def _truth_masks(key: tuple[str, str, str]) -> pd.Series:
    """Return the masks of a ground truth; `key` is (store, version of its counts, ground truth)."""
    path, _, truth = key
    store = Store(path)
    return ground_truth.masks_of(store, ground_truth.find(store, truth))


def truth_mask(store: Store, about: Truth, image_id: str) -> str | None:
    """Return the id of the photo's mask in this ground truth; None if it has none."""
    found = _truth_masks((str(store.path), pair_counts.version(store), about.id))
    return str(found[image_id]) if image_id in found.index else None


def exported(asked: Evaluated, name: str, kind: str) -> bytes:
    """Export one of the tables of `seglib evaluate` for the selected photos."""
    found = evaluations(asked)
    frame = {
        "runs": evaluation_module.table,
        "images": evaluation_module.all_images,
        "confusion": evaluation_module.all_confusions,
    }[name](found)
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


QUESTIONS: dict[str, Callable[[list[Evaluation], Any, int], Any]] = {
    "figures": lambda found, _one, _most: evaluation_stats.figures(found),
    "differences": lambda found, _one, _most: evaluation_stats.differences(found),
    "classes": lambda _found, one, _most: evaluation_stats.classes(one),
    "confusion": lambda _found, one, most: evaluation_stats.confusion(one, most),
    "labels": lambda _found, one, _most: evaluation_stats.labels(one),
    "reliability": lambda _found, one, _most: evaluation_stats.reliability(one),
    "focus": lambda _found, one, _most: evaluation_stats.main_classes(one, len(one.run.classes)),
}
"""Name -> pure function of all evaluations, one of them, and a number."""
