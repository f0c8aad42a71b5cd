"""Boundary pixels and their matches against a plain loop."""

import math

import numpy as np
import pytest

from seglib.masks import boundary


def plain_boundary(mask_: np.ndarray, value: int) -> set[tuple[int, int]]:
    found = set()
    for y, x in np.argwhere(mask_ == value).tolist():
        for y2, x2 in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= y2 < mask_.shape[0] and 0 <= x2 < mask_.shape[1] and mask_[y2, x2] != value:
                found.add((y, x))
    return found


@pytest.mark.slow
def test_boundary_counts_are_those_of_a_plain_loop():
    draw = np.random.default_rng(3)
    big = np.kron(draw.integers(0, 3, (12, 16)), np.ones((10, 10), int)).astype(np.uint8)
    moved = np.roll(big, 2, axis=1)
    limit = boundary.tolerance_px(big.shape)
    assert limit == pytest.approx(0.0075 * 200)
    found = boundary.count_matches(big, moved)
    assert set(found) == {0, 1, 2}
    for value, counts in found.items():
        truth, prediction = plain_boundary(big, value), plain_boundary(moved, value)

        def near(points, others):
            return sum(any(math.dist(p, o) <= limit for o in others) for p in points)

        assert counts == (near(prediction, truth), len(prediction), near(truth, prediction), len(truth))


def test_a_mask_with_void_against_itself_is_perfect():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 1
    mask[9:31, 14:46][boundary.find_edges(mask)[9:31, 14:46]] = 255
    for matched, predicted, matched_truth, truth in boundary.count_matches(mask, mask).values():
        assert (matched, matched_truth) == (predicted, truth)
    assert boundary.count_matches(mask, mask)
