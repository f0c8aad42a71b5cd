"""Bins for the dashboard's charts, computed from the table."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.query.columns import blobs, each_share, shares
from seglib.query.statistics import _known, _labels, _one_run


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
