"""Rank photos by a measure, page through them, and compute each photo's category shares.

Works on the counts of two masks per photo; shared by comparisons and evaluations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.masks.difference import CATEGORIES
from seglib.metrics import measures
from seglib.metrics.confusion import JointCounts

PAGE_SIZE = 24
"""Photos on one page of a gallery."""


@dataclass(frozen=True)
class ImageOrder:
    """Photos sorted by a measure."""

    rows: NDArray[np.intp]
    """(n,) rows of the counts, in ranking order."""
    values: NDArray[np.float64]
    """(n,) measure of each row, NaN where undefined."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class GalleryPage:
    number: int
    """1..`page_count`."""
    page_count: int
    """At least 1."""
    order: ImageOrder
    """Order of this page's photos only."""


def rank(
    values: NDArray[np.float64], ranks: NDArray[np.float64] | None = None, rows: NDArray[np.intp] | None = None
) -> ImageOrder:
    """Sort the rows `rows` (default: all) by `ranks` (default: `values`), ascending, NaN last; the sort is stable."""
    ranks = values if ranks is None else ranks
    rows = np.arange(len(values)) if rows is None else rows
    ordered = rows[np.argsort(ranks[rows], kind="stable")]
    return ImageOrder(ordered, values[ordered])


def get_page(order: ImageOrder, wanted: int) -> GalleryPage:
    """Return the wanted page (1-based), or the last page if there are fewer."""
    pages = max(1, -(-len(order) // PAGE_SIZE))
    number = min(max(wanted, 1), pages)
    page_slice = slice((number - 1) * PAGE_SIZE, number * PAGE_SIZE)
    return GalleryPage(number, pages, ImageOrder(order.rows[page_slice], order.values[page_slice]))


def unique_positions(files: pd.DataFrame, order: ImageOrder) -> NDArray[np.intp]:
    """Return the index of these files in this order, keeping only the first of each `image_id`, for the viewer."""
    sorted_files = files.iloc[order.rows]
    return sorted_files.index.to_numpy(np.intp)[~sorted_files["image_id"].duplicated().to_numpy()]


def cell_share(counts: JointCounts, cell: Sequence[str]) -> NDArray[np.float64]:
    """Return (N,) 0..1: the share of each photo's pixels that are `cell[0]` in one mask and `cell[1]` in the other.

    0 if a mask does not know its class, or if the photo has no pixels.
    """
    if len(cell) != 2 or cell[0] not in counts.classes_a or cell[1] not in counts.classes_b:
        return np.zeros(counts.images)
    return np.nan_to_num(measures.ratio(counts.cell(cell[0], cell[1]).astype(np.float64), counts.pixels_per_image()))


def category_shares(counts: JointCounts, category: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return (N, categories) 0..1: each photo's share per category of `difference.CATEGORIES`; NaN without pixels.

    `category` is the category of each cell of the counts.
    """
    shape = counts.images, len(CATEGORIES)
    cells = counts.image * len(CATEGORIES) + category
    pixels = np.bincount(cells, counts.pixels, shape[0] * shape[1]).astype(np.float64).reshape(shape)
    return measures.ratio(pixels, np.broadcast_to(counts.pixels_per_image()[:, None], shape))
