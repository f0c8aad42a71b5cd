"""Which points a lasso holds, and how it stands in the URL."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.queries.similarity.lasso import Lasso
from dashboard.state.url_values import parse_lasso

SQUARE = [(10, 10), (20, 10), (20, 20), (10, 20)]
L_SHAPE = [(0, 0), (30, 0), (30, 10), (10, 10), (10, 30), (0, 30)]
BOW = [(0, 0), (10, 10), (10, 0), (0, 10)]  # crosses itself at (5, 5)


def lasso(corners) -> Lasso:
    return Lasso("0" * 8, np.array(corners, np.int64))


@pytest.mark.parametrize(
    ("corners", "inside", "outside"),
    [
        (SQUARE, [(11, 11), (15, 19)], [(9, 15), (21, 15), (15, 9), (15, 21), (0, 0)]),
        (L_SHAPE, [(5, 25), (25, 5), (5, 5)], [(20, 20), (11, 11), (31, 5)]),
        (BOW, [(2, 5), (8, 5)], [(5, 2), (5, 8)]),
    ],
)
def test_points_inside_and_outside(corners, inside, outside):
    found = lasso(corners).contains(np.array([*inside, *outside], np.uint16))
    assert found.tolist() == [True] * len(inside) + [False] * len(outside)


def crossings(corners, x: int, y: int) -> int:
    """Edges that a ray from the point to the right crosses, in exact fractions."""
    number = 0
    for (xa, ya), (xb, yb) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (ya > y) != (yb > y):
            number += x < xa + Fraction((xb - xa) * (y - ya), yb - ya)
    return number


near = st.integers(0, 12)
anywhere = st.integers(0, 65535)


@given(st.lists(st.tuples(near, near), min_size=3, max_size=8), st.lists(st.tuples(near, near), min_size=1))
def test_it_is_the_even_odd_rule(corners, points):
    found = lasso(corners).contains(np.array(points, np.uint16))
    assert found.tolist() == [crossings(corners, x, y) % 2 == 1 for x, y in points]


@given(st.lists(st.tuples(anywhere, anywhere), min_size=3, max_size=256))
def test_what_is_written_into_the_url_is_read_again(corners):
    text = f"01234567.{lasso(corners).path}"
    again = Lasso.parse(parse_lasso(text))
    assert again.map_id == "01234567"
    assert again.corners.tolist() == [list(corner) for corner in corners]


def test_no_points():
    assert lasso(SQUARE).contains(np.zeros((0, 2), np.uint16)).tolist() == []


@pytest.mark.parametrize("text", ["AAAAAAAAAAA", "AAAA", "A" * 17, "A" * 1400])
def test_corners_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="corners"):
        Lasso.parse(f"01234567.{text}")
