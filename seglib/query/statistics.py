"""Pure questions about the table: distribution, co-occurrence, folder label against animal, the charts' small answers.

In: the frame of `Store.table`. Out: new small frames; the frame that came in is never changed. Shares are 0..1 and say
their n; a class that a model does not know is left out, never counted as 0. Knows nothing of files, pages or charts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE
from seglib.errors import UsageError
from seglib.masks.statistics import pixels_column
from seglib.query.columns import agreement, blobs, classes_of, coded, each_share, numbers, shares

PER_CLASS: dict[str, Callable[[pd.DataFrame, str], pd.Series]] = {"share": shares, "blobs": blobs}
"""What can be sorted by for one class."""

_EXACT_ROWS = 1 << 23
"""float32 counts whole numbers exactly up to twice as many; its matrix product is many times that of int64."""


# --- questions ---------------------------------------------------------------------------------------------------


def class_distribution(table: pd.DataFrame) -> pd.DataFrame:
    """Per class, over the photos of one run: mean_share, mean_share_when_present, present (photos), presence, n.

    n counts the photos whose model knows the class; without any (or without a photo where it is present) the means
    are None, not 0.
    """
    _one_run(table)
    rows = []
    for name, shares_or_nan in each_share(table):
        share = shares_or_nan[~np.isnan(shares_or_nan)]
        there = share[share >= PRESENT_SHARE]
        rows.append(
            {
                "class": name,
                "mean_share": _mean(share),
                "mean_share_when_present": _mean(there),
                "present": len(there),
                "presence": len(there) / len(share) if len(share) else None,
                "n": len(share),
            }
        )
    columns = ["class", "mean_share", "mean_share_when_present", "present", "presence", "n"]
    return pd.DataFrame(rows, columns=columns).set_index("class")


def co_occurrence(table: pd.DataFrame) -> pd.DataFrame:
    """int64 (C, C): photos of one run in which both classes are present; the diagonal counts the class itself."""
    _one_run(table)
    names = classes_of(table)
    counts = np.zeros((len(names), len(names)), np.int64)
    if names:
        there = np.array([share >= PRESENT_SHARE for _, share in each_share(table)])  # (C, rows)
        for start in range(0, len(table), _EXACT_ROWS):
            some = there[:, start : start + _EXACT_ROWS].astype(np.float32)
            counts += (some @ some.T).astype(np.int64)
    return pd.DataFrame(counts, index=names, columns=names)


def folder_vs_animal(table: pd.DataFrame) -> pd.DataFrame:
    """int64: photos of one run per folder label (rows; `""` without one) and animal (columns cat, dog, none)."""
    _one_run(table)
    label_codes, labels = _labels(table)
    animal_codes, animals = coded(table["animal"])
    known = animal_codes >= 0
    cells = label_codes[known] * len(animals) + animal_codes[known]
    counts = np.bincount(cells, minlength=len(labels) * len(animals)).reshape(len(labels), len(animals))
    frame = pd.DataFrame(counts, index=labels, columns=animals)
    frame = frame[frame.sum(axis=1) > 0].reindex(columns=[*ANIMALS, "none"], fill_value=0)
    return frame.rename_axis(index="label", columns="animal")


def _labels(table: pd.DataFrame) -> tuple[NDArray[np.intp], list[str]]:
    """(code of each row, folder labels in alphabetical order); `""` is the label of those without one."""
    codes, names = coded(table["label"])
    labels = sorted({"", *names})
    place = {label: at for at, label in enumerate(labels)}
    return np.array([*(place[name] for name in names), place[""]])[codes], labels


@dataclass(frozen=True)
class KeyFigures:
    photos: int
    mean_foreground_share: float | None
    mean_confidence: float | None
    agreeing: int
    """Photos whose animal is the one that their folder claims ..."""
    claiming: int
    """... of those whose folder claims one."""


def key_figures(table: pd.DataFrame) -> KeyFigures:
    _one_run(table)
    verdicts = agreement(table).value_counts()
    background = shares(table, BACKGROUND) if pixels_column(BACKGROUND) in table else pd.Series(dtype="float64")
    return KeyFigures(
        photos=len(table),
        mean_foreground_share=_mean(1 - _known(background)),
        mean_confidence=_mean(_known(table["confidence"])),
        agreeing=int(verdicts["agrees"]),
        claiming=int(verdicts.sum()),
    )


def _known(values: pd.Series) -> NDArray[np.float64]:
    found = numbers(values)
    return found[~np.isnan(found)]


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _one_run(table: pd.DataFrame) -> None:
    if (runs := table["run"].nunique()) > 1:
        raise UsageError(
            f"This table holds {runs} runs, which would count each photo {runs} times: choose one run first."
        )


# --- questions of the charts: small answers, whatever the number of rows -----------------------------------------


def ordered(table: pd.DataFrame, column: str, *, descending: bool = False, name: str = "") -> NDArray[np.intp]:
    """Row positions sorted by a column; `share` and `blobs` are those of the class `name`.

    Rows without a value come last either way; equal ones keep the table's order.
    """
    values = PER_CLASS[column](table, name) if column in PER_CLASS else table[column]
    if values.dtype == "object" or not pd.api.types.is_numeric_dtype(values):
        values = pd.Series(pd.factorize(values.astype("object"), sort=True)[0], table.index).replace(-1, None)
    numbers = values.astype("float64").to_numpy(copy=True)
    if descending:
        numbers = -numbers
    return np.argsort(np.nan_to_num(numbers, nan=math.inf), kind="stable")
