"""Pure questions about the table: distribution, co-occurrence, folder label against animal, the charts' small answers.

In: the frame of `Store.table`. Out: new small frames; the frame that came in is never changed. Shares are 0..1 and say
their n; a class that a model does not know is left out, never counted as 0. The names of `seglib.filters` can be had
here too. Knows nothing of files, pages or charts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE
from seglib.errors import UsageError
from seglib.filters import (
    AGREEMENTS,
    FILTERS,
    MOST_COUNT,
    Choice,
    ClassCount,
    ClassRange,
    Count,
    CountRange,
    Filter,
    Filters,
    Names,
    Present,
    Range,
    Text,
    UnitRange,
    Value,
    agreement,
    below,
    blobs,
    classes_of,
    coded,
    each_share,
    entry_of,
    numbers,
    passing,
    present,
    select,
    shares,
)
from seglib.masks.statistics import pixels_column

__all__ = [
    "AGREEMENTS",
    "FILTERS",
    "MOST_COUNT",
    "SPREAD",
    "Choice",
    "ClassCount",
    "ClassRange",
    "Count",
    "CountRange",
    "Filter",
    "Filters",
    "KeyFigures",
    "Names",
    "Present",
    "Range",
    "Text",
    "UnitRange",
    "Value",
    "agreement",
    "below",
    "blob_counts",
    "blobs",
    "class_distribution",
    "classes_of",
    "co_occurrence",
    "density",
    "entry_of",
    "folder_against_animal",
    "histogram",
    "image_sizes",
    "key_figures",
    "numbers",
    "ordered",
    "passing",
    "present",
    "select",
    "share_by_label",
    "share_spread_by_label",
    "shares",
]


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


def folder_against_animal(table: pd.DataFrame) -> pd.DataFrame:
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


def share_by_label(table: pd.DataFrame) -> pd.DataFrame:
    """Per folder label (`""` without one) of one run: n, and the mean share of each class, NaN where none knows it."""
    _one_run(table)
    codes, labels = _labels(table)
    columns: dict[str, NDArray[Any]] = {"n": np.bincount(codes, minlength=len(labels))}
    for name, share in each_share(table):
        known = ~np.isnan(share)
        total = np.bincount(codes[known], share[known], minlength=len(labels))
        n = np.bincount(codes[known], minlength=len(labels))
        columns[name] = np.divide(total, n, out=np.full(len(labels), math.nan), where=n > 0)
    means = pd.DataFrame(columns, index=pd.Index(labels, name="label"))
    return means[means["n"] > 0]


def histogram(values: pd.Series, bins: int = 20) -> pd.DataFrame:
    """int64 counts of values within 0..1 in equally wide bins: low, high, count. NaN is left out; 1 is in the last.

    A bin holds its lower end and not its upper one, the last holds both.
    """
    edges = _unit_edges(bins)
    counts = np.bincount(_bin_of(_known(values), edges), minlength=bins)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})


def density(x: pd.Series, y: pd.Series, bins: tuple[int, int] = (50, 20)) -> pd.DataFrame:
    """Photos per square of two measures of 0..1: x_low, x_high, y_low, y_high, count; squares without one are left out.

    `bins`: along x, along y. Ends belong to squares as in `histogram`. Rows that lack one of the two are left out.
    """
    both = (x.notna() & y.notna()).to_numpy(bool)
    x_edges, y_edges = (_unit_edges(number) for number in bins)
    columns, lines = _bin_of(_known(x[both]), x_edges), _bin_of(_known(y[both]), y_edges)
    counts = np.bincount(columns * bins[1] + lines, minlength=bins[0] * bins[1])
    there = np.flatnonzero(counts)
    column, line = np.divmod(there, bins[1])
    return pd.DataFrame(
        {
            "x_low": x_edges[column],
            "x_high": x_edges[column + 1],
            "y_low": y_edges[line],
            "y_high": y_edges[line + 1],
            "count": counts[there],
        }
    )


def image_sizes(table: pd.DataFrame, most: int = 24) -> pd.DataFrame:
    """Photos per square of width and height, as `density`; all ends are whole pixels and belong to the square.

    Squares are of a round number of pixels, so that at most about `most` of them lie side by side.
    """
    sides = [table[name].to_numpy(np.int64) for name in ("width", "height")]
    if not len(table):
        return pd.DataFrame({name: np.zeros(0, np.int64) for name in ("x_low", "x_high", "y_low", "y_high", "count")})
    side = _round_step(max(int(pixels.max() - pixels.min()) for pixels in sides) / most)
    firsts = [int(pixels.min()) // side for pixels in sides]
    columns, lines = (pixels // side - first for pixels, first in zip(sides, firsts, strict=True))
    across = int(lines.max()) + 1
    counts = np.bincount(columns * across + lines)
    there = np.flatnonzero(counts)
    column, line = np.divmod(there, across)
    x, y = (column + firsts[0]) * side, (line + firsts[1]) * side
    return pd.DataFrame(
        {"x_low": x, "x_high": x + side - 1, "y_low": y, "y_high": y + side - 1, "count": counts[there]}
    )


def blob_counts(table: pd.DataFrame, names: Sequence[str], most: int = 5) -> pd.DataFrame:
    """int64: photos of one run by the number of connected regions (rows 0..`most`) of each class (columns).

    The last row is `most` or more. A region holds at least `PRESENT_SHARE` of the grid.
    """
    _one_run(table)
    counts = {}
    for name in names:
        known = _known(blobs(table, name)).astype(np.int64)
        counts[name] = np.bincount(np.minimum(known, most), minlength=most + 1)
    return pd.DataFrame(counts, index=pd.RangeIndex(most + 1, name="regions"), columns=list(names), dtype="int64")


SPREAD: dict[str, float] = {"low": 0.05, "q1": 0.25, "median": 0.5, "q3": 0.75, "high": 0.95}
"""Column of `share_spread_by_label` -> quantile."""


def share_spread_by_label(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Per folder label (`""` without one) of one run: n, mean and the quantiles of `SPREAD` of the class's share.

    Photos whose model does not know the class are left out, and labels that have no others.
    """
    _one_run(table)
    label = table["label"].astype("object")
    groups = shares(table, name).dropna().groupby(label.where(label.notna(), "").rename("label"))
    spread = {column: groups.quantile(quantile) for column, quantile in SPREAD.items()}
    return pd.DataFrame({"n": groups.size(), "mean": groups.mean(), **spread})


def _unit_edges(bins: int) -> NDArray[np.float64]:
    """float64 (bins + 1,), 0..1: short decimals, since they are written into URLs."""
    return np.round(np.linspace(0, 1, bins + 1), 10)


def _bin_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """intp (N,): the bin of each value, exactly by its ends; the last bin holds its upper end too."""
    return np.minimum(np.searchsorted(edges, values, side="right") - 1, len(edges) - 2)


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is at least this."""
    power = 10 ** max(math.ceil(math.log10(least)) - 1, 0) if least > 1 else 1
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least)


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
