"""Find photos whose masks look wrong, without any ground truth, and say why.

`update_oddities` measures the masks of a run once and keeps the result in the store; `find_suspects` reads it, the
table and the counts of comparisons, and returns one ranked list. A photo is a suspect for one or more of `REASONS`,
each with a strength of 0..1; the list is sorted by the greatest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.errors import StoreError
from seglib.evaluation import comparison
from seglib.evaluation.counting import FILE_COLUMNS, count_all, read_valid_mask
from seglib.evaluation.mistakes.copies import find_differing_copies
from seglib.fileio import parquet_parts
from seglib.maintenance.compact import try_merge_parts
from seglib.masks.oddities import find_oddities
from seglib.progress import OnProgress, Progress
from seglib.query.columns import label_agreement, to_float64
from seglib.query.fields import read_table
from seglib.query.filters import Filters, select
from seglib.query.repeats import first_datasets
from seglib.store.pair_counts import CountsWriter
from seglib.store.records import Run
from seglib.store.schemas import ODDITIES_SCHEMA
from seglib.store.store import Store

SURE = 0.9
"""A model is sure of a photo if its mean confidence is at least this."""

DISAGREEING = 0.3
"""Two sure models contradict each other if they disagree on at least this share of what either calls an object."""

CUT = 0.5
"""A mask is cut by the frame if at least this share of the outline of a class lies on it."""

INTERLEAVED = 0.5
"""Two animals are a mixture if at least this much of the smaller one's outline touches the larger."""

_NO_COPIES = pd.DataFrame({"group": np.zeros(0, np.int64), "dataset": [], "path": []})

REASONS: dict[str, str] = {
    "models": "two sure models disagree",
    "folder": "contradicts its folder",
    "mixture": "two animals in one region",
    "copies": "a near-duplicate has another mask",
    "frame": "cut by the frame",
}
"""Key of a reason -> its name."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """Photos whose masks look wrong in one run."""

    run: Run
    photos: pd.DataFrame
    """`FILE_COLUMNS`, `score` (0..1, the greatest strength), one column per key of `REASONS` (strength, NaN if it is no
    reason) and `reason` (all reasons in words, the strongest first); the highest score first. The index is the row in
    the table of the run.
    """
    images: int
    """Photos that were looked at."""
    unmeasured: int
    """Those of them whose masks `update_oddities` has not measured."""
    notes: tuple[str, ...]


def update_oddities(
    store: Store, run: Run, *, threads: int | None = None, on_progress: OnProgress | None = None
) -> tuple[str, ...]:
    """Measure the masks of a run that were not measured before; returns the ids of those that cannot be read."""
    with store.atomic.register_writer():
        store.atomic.claim_run(run.run)
        folder = store.oddities_folder(run.run)
        known = set(parquet_parts.read(folder, ODDITIES_SCHEMA, ["image_id"])["image_id"].to_pylist())
        ids = store.computed_ids(run)
        work = sorted(ids - known)
        progress = Progress(title=run.run, total=len(ids), done=len(ids) - len(work))
        if on_progress is not None:
            on_progress(progress)

        def measure(image_id: str) -> tuple[str, dict[Any, dict[str, Any]] | None]:
            try:
                mask = read_valid_mask(store, run.run, image_id, len(run.classes))
            except StoreError:
                return image_id, None
            return image_id, {folder: {name: [value] for name, value in find_oddities(mask, run.classes).items()}}

        writer = CountsWriter(store, {folder: ODDITIES_SCHEMA})
        failed = count_all(measure, work, writer, progress, on_progress=on_progress, threads=threads)
        try_merge_parts(store)
    return tuple(failed)


def find_suspects(
    store: Store,
    run: Run,
    others: Sequence[str] = (),
    filters: Filters | None = None,
    *,
    table: pd.DataFrame | None = None,
    copies: pd.DataFrame | None = None,
) -> Suspects:
    """Find the suspects of a run, also by what it and each pair of `others` make of the same photo.

    Reads what `update_oddities` and `comparison.update_counts` have kept; what was not measured is no reason, and the
    notes say so. Photos that several datasets hold are listed once. `table`: rows of the run's table, by default all.
    `copies`: groups of near-duplicates (`copies.find_copies`).
    """
    filters = filters or Filters()
    table = read_table(store, [run.run], filters) if table is None else table
    table = select(table, filters)
    table = table[first_datasets(table)]
    notes: list[str] = []
    strengths: dict[str, NDArray[np.float64]] = {}
    words: dict[str, NDArray[np.object_]] = {}
    finders: dict[str, Callable[[], tuple[NDArray[np.float64], NDArray[np.object_]]]] = {
        "models": lambda: _find_disagreements(store, [run.run, *others], table, notes),
        "folder": lambda: _find_contradictions(table),
        "copies": lambda: find_differing_copies(table, copies if copies is not None else _NO_COPIES),
    }
    for key, find in finders.items():
        strengths[key], words[key] = find()
    unmeasured, oddities = _find_oddities(store, run, table)
    if unmeasured:
        notes.append(f"{unmeasured:,} masks have not been looked at yet for what lies in one region or at the frame.")
    for key, strength, text in oddities:
        strengths[key], words[key] = strength, text
    return Suspects(run, _rank(table, strengths, words), len(table), unmeasured, tuple(notes))


def _rank(
    table: pd.DataFrame, strengths: dict[str, NDArray[np.float64]], words: dict[str, NDArray[np.object_]]
) -> pd.DataFrame:
    each = np.array([strengths[key] for key in REASONS])  # (reasons, N), NaN if it is none
    filled = np.nan_to_num(each, nan=-1.0)
    order = np.argsort(-filled, axis=0, kind="stable")
    texts = np.array([words[key] for key in REASONS], dtype=object)
    rows = np.flatnonzero((filled > 0).any(0))
    reasons = ["; ".join(texts[key, row] for key in order[:, row] if filled[key, row] > 0) for row in rows]
    found = (
        table[FILE_COLUMNS]
        .iloc[rows]
        .assign(
            score=filled[:, rows].max(0) if len(rows) else np.zeros(0),
            **{key: each[place, rows] for place, key in enumerate(REASONS)},
            reason=pd.array(reasons, dtype="str"),
        )
    )
    return found.sort_values("score", ascending=False, kind="stable")


def _find_disagreements(
    store: Store, runs: Sequence[str], table: pd.DataFrame, notes: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Strength: the share of what either calls an object on which the two disagree, times the lesser confidence."""
    strength, words = np.full(len(table), np.nan), np.full(len(table), "", object)
    names = list(dict.fromkeys(runs))
    if len(names) < 2:
        return strength, words
    confidence = _confidences(store, names, table)
    sure = [name for name in names if not np.isnan(confidence[name]).all()]
    if unsure := [name for name in names if name not in sure]:
        notes.append(f"{', '.join(unsure)} came without confidence, so nothing is said of how sure it is.")
    for a, b in combinations(sure, 2):
        found = comparison.load_comparison(store, [a, b], files=table)
        agreement = np.full(len(table), np.nan)
        agreement[table.index.get_indexer(found.files.index)] = found.measures[a, b]["foreground_agreement"].per_image()
        disagreement, lesser = 1 - agreement, np.fmin(confidence[a], confidence[b])
        value = np.where((disagreement >= DISAGREEING) & (lesser >= SURE), disagreement * lesser, np.nan)
        better = np.nan_to_num(value) > np.nan_to_num(strength)
        both = " and ".join(store.run(name).display_title for name in (a, b))
        for row in np.flatnonzero(better):
            words[row] = (
                f"disagreement on {_percent(disagreement[row])} of the objects: {both}, "
                f"both {_percent(lesser[row])} sure or more"
            )
        strength = np.where(better, value, strength)
    return strength, words


def _confidences(store: Store, names: Sequence[str], table: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Run -> its mean confidence of each row's photo, NaN where unknown."""
    ids = list(table["image_id"].unique())
    stats = {name: store.confidence_stats(store.run(name), ids).set_index("image_id")["confidence"] for name in names}
    return {name: one.reindex(table["image_id"]).to_numpy(np.float64, na_value=np.nan) for name, one in stats.items()}


def _find_contradictions(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Strength: the model's mean confidence, or one half where it is not known."""
    contradicts = (label_agreement(table) == "contradicts").to_numpy(bool)
    confidence = np.nan_to_num(to_float64(table["confidence"]), nan=0.5)
    words = np.full(len(table), "", object)
    for row in np.flatnonzero(contradicts):
        words[row] = f"the folder says {table['label'].iloc[row]}, the model {table['content'].iloc[row]}"
    return np.where(contradicts, confidence, np.nan), words


def _find_oddities(
    store: Store, run: Run, table: pd.DataFrame
) -> tuple[int, list[tuple[str, NDArray[np.float64], NDArray[np.object_]]]]:
    """(masks that were not measured, [(reason, strength, words)]).

    Strength of a mixture: how far the two are interleaved; of a cut mask: the share of the outline on the frame.
    """
    known = parquet_parts.read(store.oddities_folder(run.run), ODDITIES_SCHEMA).to_pandas()
    known = known.drop_duplicates("image_id", keep="last").set_index("image_id").reindex(table["image_id"])
    interleaved, cut = (np.nan_to_num(known[name].to_numpy(np.float64)) for name in ("interleaved", "cut_share"))
    columns = known[["mixed_class", "mixed_with", "mixed_share", "cut_class", "cut_share"]].to_numpy(object)
    mixture, frame = np.full(len(table), "", object), np.full(len(table), "", object)
    for row in np.flatnonzero(interleaved >= INTERLEAVED):
        large, small, share, *_ = columns[row]
        mixture[row] = f"{small} and {large} in one region, {_percent(share)} of it {small}"
    for row in np.flatnonzero(cut >= CUT):
        *_, name, share = columns[row]
        frame[row] = f"{_percent(share)} of the outline of {name} lies on the frame"
    return int(known["cut_share"].isna().sum()), [
        ("mixture", np.where(interleaved >= INTERLEAVED, interleaved, np.nan), mixture),
        ("frame", np.where(cut >= CUT, cut, np.nan), frame),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
