"""Photos in the order of a measure, the page of them that is shown, and what of each is alike or not.

In: the counts of two masks per photo, and a measure of each. Out: rows of the counts, their values and shares. What
comparisons and evaluations have in common. Knows nothing of runs, truths, measures by name, or pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.masks.difference import CATEGORIES
from seglib.metrics import measures
from seglib.metrics.confusion import Counts

PAGE_SIZE = 24
"""Photos on one page of a gallery."""


@dataclass(frozen=True)
class Order:
    """Photos sorted by a measure."""

    at: NDArray[np.intp]
    """(n,) rows of the counts, the first to look at first."""
    values: NDArray[np.float64]
    """(n,) the measure of each of these, NaN where it is not defined."""

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True)
class Page:
    number: int
    """1..`pages`."""
    pages: int
    """At least 1."""
    order: Order
    """Of its photos alone."""


def ranked(
    values: NDArray[np.float64], ranks: NDArray[np.float64] | None = None, kept: NDArray[np.intp] | None = None
) -> Order:
    """The rows `kept`, all by default, by their `ranks`, the values by default: the smallest first, NaN last; those of
    equal rank in their present order.
    """
    ranks = values if ranks is None else ranks
    kept = np.arange(len(values)) if kept is None else kept
    at = kept[np.argsort(ranks[kept], kind="stable")]
    return Order(at, values[at])


def page_of(order: Order, wanted: int) -> Page:
    """The wanted page, 1 being the first, or the last one if there are fewer."""
    pages = max(1, -(-len(order) // PAGE_SIZE))
    number = min(max(wanted, 1), pages)
    here = slice((number - 1) * PAGE_SIZE, number * PAGE_SIZE)
    return Page(number, pages, Order(order.at[here], order.values[here]))


def pictures(files: pd.DataFrame, order: Order) -> NDArray[np.intp]:
    """The index of these files in this order, of equal `image_id`s only the first: what one goes through one by one."""
    sorted_files = files.iloc[order.at]
    return sorted_files.index.to_numpy(np.intp)[~sorted_files["image_id"].duplicated().to_numpy()]


def cell_share(counts: Counts, cell: Sequence[str]) -> NDArray[np.float64]:
    """(N,) 0..1: share of each photo's pixels that the one mask calls `cell[0]` and the other `cell[1]`; 0 if one of
    them knows no such class, or the photo has no pixels.
    """
    if len(cell) != 2 or cell[0] not in counts.classes_a or cell[1] not in counts.classes_b:
        return np.zeros(counts.images)
    return np.nan_to_num(measures.ratio(counts.cell(cell[0], cell[1]).astype(np.float64), counts.area()))


def category_shares(counts: Counts, category: NDArray[np.integer]) -> NDArray[np.float64]:
    """(N, categories) 0..1: how much of each photo falls into which of `difference.CATEGORIES`; NaN without pixels.

    `category`: of each cell of the counts.
    """
    shape = counts.images, len(CATEGORIES)
    cells = counts.image * len(CATEGORIES) + category
    pixels = np.bincount(cells, counts.pixels, shape[0] * shape[1]).astype(np.float64).reshape(shape)
    return measures.ratio(pixels, np.broadcast_to(counts.area()[:, None], shape))
