"""Compute the binned data of the dashboard's charts from the table."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.query.columns import class_blobs, class_share, iter_class_shares
from seglib.query.statistics import _check_one_run, _drop_missing, _label_codes

QUANTILES: dict[str, float] = {"low": 0.05, "q1": 0.25, "median": 0.5, "q3": 0.75, "high": 0.95}
"""Quantile of each column of `share_spread_by_label`."""


def share_by_label(table: pd.DataFrame) -> pd.DataFrame:
    """Per folder label (`""` = no label) of one run: n and the mean share of each class, NaN if no model knows it."""
    _check_one_run(table)
    codes, labels = _label_codes(table)
    columns: dict[str, NDArray[Any]] = {"n": np.bincount(codes, minlength=len(labels))}
    for name, share in iter_class_shares(table):
        defined = ~np.isnan(share)
        total = np.bincount(codes[defined], share[defined], minlength=len(labels))
        n = np.bincount(codes[defined], minlength=len(labels))
        columns[name] = np.divide(total, n, out=np.full(len(labels), math.nan), where=n > 0)
    means = pd.DataFrame(columns, index=pd.Index(labels, name="label"))
    return means[means["n"] > 0]


def histogram(values: pd.Series, bins: int = 20) -> pd.DataFrame:
    """Count values within 0..1 in bins of equal width: low, high, count (int64). NaN is ignored.

    Bins include their lower end and exclude their upper one; the last bin includes both.
    """
    edges = unit_edges(bins)
    counts = np.bincount(_bin_of(_drop_missing(values), edges), minlength=bins)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})


def density(x: pd.Series, y: pd.Series, bins: tuple[int, int] = (50, 20)) -> pd.DataFrame:
    """2-D histogram of two measures within 0..1: x_low, x_high, y_low, y_high, count; empty cells are omitted.

    `bins`: along x, along y. Cells include their ends as in `histogram`. Rows missing either value are ignored.
    """
    both = (x.notna() & y.notna()).to_numpy(bool)
    x_edges, y_edges = (unit_edges(number) for number in bins)
    columns, lines = _bin_of(_drop_missing(x[both]), x_edges), _bin_of(_drop_missing(y[both]), y_edges)
    counts = np.bincount(columns * bins[1] + lines, minlength=bins[0] * bins[1])
    filled = np.flatnonzero(counts)
    column, line = np.divmod(filled, bins[1])
    return pd.DataFrame(
        {
            "x_low": x_edges[column],
            "x_high": x_edges[column + 1],
            "y_low": y_edges[line],
            "y_high": y_edges[line + 1],
            "count": counts[filled],
        }
    )


def image_sizes(table: pd.DataFrame, max_bins: int = 24) -> pd.DataFrame:
    """2-D histogram of image width and height, columns as in `density`; cells include both ends, in whole pixels.

    Cells are squares whose side is a round number of pixels (1, 2, 5, 10, ...), at most about `max_bins` along each
    axis.
    """
    sides = [table[name].to_numpy(np.int64) for name in ("width", "height")]
    if not len(table):
        return pd.DataFrame({name: np.zeros(0, np.int64) for name in ("x_low", "x_high", "y_low", "y_high", "count")})
    side = round_step(max(int(pixels.max() - pixels.min()) for pixels in sides) / max_bins)
    firsts = [int(pixels.min()) // side for pixels in sides]
    columns, lines = (pixels // side - first for pixels, first in zip(sides, firsts, strict=True))
    across = int(lines.max()) + 1
    counts = np.bincount(columns * across + lines)
    filled = np.flatnonzero(counts)
    column, line = np.divmod(filled, across)
    x, y = (column + firsts[0]) * side, (line + firsts[1]) * side
    return pd.DataFrame(
        {"x_low": x, "x_high": x + side - 1, "y_low": y, "y_high": y + side - 1, "count": counts[filled]}
    )


def blob_counts(table: pd.DataFrame, names: Sequence[str], max_blobs: int = 5) -> pd.DataFrame:
    """int64: number of images of one run by region count (rows 0..`max_blobs`) and class (columns).

    The last row means `max_blobs` or more. A region is connected and covers at least `PRESENT_SHARE` of the mask.
    """
    _check_one_run(table)
    counts = {}
    for name in names:
        numbers = _drop_missing(class_blobs(table, name)).astype(np.int64)
        counts[name] = np.bincount(np.minimum(numbers, max_blobs), minlength=max_blobs + 1)
    return pd.DataFrame(counts, index=pd.RangeIndex(max_blobs + 1, name="regions"), columns=list(names), dtype="int64")


def share_spread_by_label(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Per folder label (`""` = no label) of one run: n, mean and the `QUANTILES` quantiles of the class's share.

    Images whose model does not know the class are ignored; labels with no other images are omitted.
    """
    _check_one_run(table)
    label = table["label"].astype("object")
    groups = class_share(table, name).dropna().groupby(label.where(label.notna(), "").rename("label"))
    spread = {column: groups.quantile(quantile) for column, quantile in QUANTILES.items()}
    return pd.DataFrame({"n": groups.size(), "mean": groups.mean(), **spread})


def unit_edges(bins: int) -> NDArray[np.float64]:
    """Bin edges, float64 (bins + 1,), 0..1; rounded to short decimals because they appear in URLs."""
    return np.round(np.linspace(0, 1, bins + 1), 10)


def _bin_of(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """intp (N,): bin of each value by exact comparison with the edges; the last bin includes its upper end."""
    return np.minimum(np.searchsorted(edges, values, side="right") - 1, len(edges) - 2)


def round_step(minimum: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is at least `minimum`."""
    power = 10 ** max(math.ceil(math.log10(minimum)) - 1, 0) if minimum > 1 else 1
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= minimum)
