"""Orders, pages and shares of photos, on counts of four photos that one can check by hand."""

import numpy as np
import pandas as pd
import pytest

from dashboard.queries import ranking
from dashboard.queries.ranking import PAGE_SIZE, ImageOrder, get_page, rank
from seglib.masks.difference import CATEGORIES
from seglib.metrics.confusion import JointCounts

NAN = float("nan")


def counts(*cells: tuple[int, int, int, int], images: int = 4) -> JointCounts:
    """Of (image, a, b, pixels); a knows background and cat, b background, cat and dog."""
    image, a, b, pixels = np.array(cells, np.int64).reshape(-1, 4).T
    names = ("background", "cat")
    return JointCounts(images, image, a.astype(np.uint8), b.astype(np.uint8), pixels, names, (*names, "dog"))


FOUND = counts((0, 0, 0, 6), (0, 1, 2, 2), (1, 1, 1, 10), (3, 1, 2, 3), (3, 255, 0, 1))
"""The first photo has 2 of 8 pixels that are cat in a and dog in b, the last one 3 of 4; the third has no pixels."""


@pytest.mark.parametrize(
    ("values", "ranks", "kept", "at"),
    [
        ([0.3, 0.1, 0.2], None, None, [1, 2, 0]),
        ([0.3, NAN, 0.2], None, None, [2, 0, 1]),
        ([0.5, 0.5, 0.1], None, None, [2, 0, 1]),
        ([0.3, 0.1, 0.2], [-0.3, -0.1, -0.2], None, [0, 2, 1]),
        ([0.3, 0.1, 0.2], None, [0, 2], [2, 0]),
        ([0.3, 0.1, 0.2], None, [], []),
        ([], None, None, []),
    ],
)
def test_the_smallest_rank_comes_first_and_what_is_not_defined_last(values, ranks, kept, at):
    values = np.array(values, np.float64)
    order = rank(values, None if ranks is None else np.array(ranks), None if kept is None else np.array(kept, int))
    assert order.rows.tolist() == at
    assert np.array_equal(order.values, values[at], equal_nan=True)
    assert len(order) == len(at)


@pytest.mark.parametrize(
    ("n", "wanted", "number", "pages", "first", "photos"),
    [
        (0, 1, 1, 1, None, 0),
        (1, 1, 1, 1, 0, 1),
        (PAGE_SIZE, 2, 1, 1, 0, PAGE_SIZE),
        (PAGE_SIZE + 1, 2, 2, 2, PAGE_SIZE, 1),
        (3 * PAGE_SIZE, 2, 2, 3, PAGE_SIZE, PAGE_SIZE),
        (3 * PAGE_SIZE, 7, 3, 3, 2 * PAGE_SIZE, PAGE_SIZE),
        (3 * PAGE_SIZE, 0, 1, 3, 0, PAGE_SIZE),
    ],
)
def test_a_page_that_is_not_there_is_the_nearest_one(n, wanted, number, pages, first, photos):
    page = get_page(ImageOrder(np.arange(n), np.arange(n) / 10), wanted)
    assert (page.number, page.page_count, len(page.order)) == (number, pages, photos)
    assert page.order.rows[:1].tolist() == ([] if first is None else [first])
    assert np.array_equal(page.order.values, page.order.rows / 10)


def test_pictures_are_told_once_in_the_order_of_the_photos():
    files = pd.DataFrame({"image_id": ["x", "y", "x", "z"]}, index=[10, 20, 30, 40])
    order = ImageOrder(np.array([3, 2, 1, 0]), np.zeros(4))
    assert ranking.unique_positions(files, order).tolist() == [40, 30, 20]
    assert ranking.unique_positions(files, ImageOrder(order.rows[:0], order.values[:0])).tolist() == []


def test_a_cells_share_is_of_the_whole_photo_and_the_right_way_round():
    assert ranking.cell_share(FOUND, ("cat", "dog")).tolist() == [0.25, 0, 0, 0.75]
    for cell in (("dog", "cat"), ("cat", "zebra"), ("zebra", "cat"), ()):
        assert ranking.cell_share(FOUND, cell).tolist() == [0, 0, 0, 0]


def test_categories_of_a_photo_add_up_to_one_and_those_of_none_are_not_defined():
    category = np.array([0, 4, 1, 4, 5], np.uint8)
    shares = ranking.category_shares(FOUND, category)
    assert shares.shape == (4, len(CATEGORIES))
    assert shares[0].tolist() == [0.75, 0, 0, 0, 0.25, 0]
    assert shares[1].tolist() == [0, 1, 0, 0, 0, 0]
    assert np.isnan(shares[2]).all()
    assert shares[3].tolist() == [0, 0, 0, 0, 0.75, 0.25]
    assert ranking.category_shares(counts(images=0), category[:0]).shape == (0, len(CATEGORIES))
