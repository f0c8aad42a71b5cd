"""Where a mask fits best: shifts that are known, and every place by a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.classes import VOID
from seglib.metrics.label_placement import REACH, Placement, find_better_place


def seen(mask: np.ndarray, classes: int = 3, sure: float = 0.9) -> np.ndarray:
    """Probabilities (C, H, W) of a model that sees exactly this mask."""
    table = np.full((classes, *mask.shape), (1 - sure) / (classes - 1), np.float32)
    np.put_along_axis(table, mask[None].astype(int), np.float32(sure), 0)
    return table


def box(left: int, top: int, side: int = 100) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + 30, left : left + 40] = 1
    return mask


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-4, 2), (1, -4)])
def test_a_shifted_mask_is_found_with_its_direction(right, down):
    found = find_better_place(box(30 + right, 30 + down), seen(box(30, 30)))
    assert (found.right, found.down) == (pytest.approx(right / 100), pytest.approx(down / 100))
    assert (found.gain > 0.01) == bool(right or down)


def test_a_wrong_class_fits_no_better_elsewhere():
    labels = box(30, 30) * np.uint8(2)
    assert find_better_place(labels, seen(np.zeros_like(labels))).gain == pytest.approx(0, abs=1e-9)


def test_void_counts_nowhere_and_a_mask_of_nothing_but_void_has_no_place():
    labels = box(33, 30)
    labels[:25] = VOID
    found = find_better_place(labels, seen(box(30, 30)))
    assert (found.right, found.down) == (pytest.approx(0.03), 0)
    assert find_better_place(np.full((50, 50), VOID, np.uint8), seen(box(0, 0, 50))) == Placement(0, 0, 0)


def test_large_arrays_are_sampled_and_shifts_are_shares_of_the_sides():
    small, moved = box(30, 30), box(32, 30)
    found = find_better_place(moved.repeat(6, 0).repeat(6, 1), seen(small.repeat(6, 0).repeat(6, 1)))
    assert (found.right, found.down) == (pytest.approx(0.02), 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_gain_is_that_of_the_best_place_of_a_plain_loop(height, width, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.3), (height, width)).transpose(2, 0, 1).astype(np.float32)
    labels = rng.choice(np.array([0, 1, 2, VOID], np.uint8), (height, width))
    reach_y, reach_x = round(REACH * height), round(REACH * width)
    means = {}
    for down in range(-reach_y, reach_y + 1):
        for right in range(-reach_x, reach_x + 1):
            logs = [
                np.log(max(probabilities[labels[y + down, x + right], y, x], 1e-3))
                for y in range(reach_y, height - reach_y)
                for x in range(reach_x, width - reach_x)
                if labels[y + down, x + right] != VOID
            ]
            if logs:
                means[down, right] = np.mean(logs)
    found = find_better_place(labels, probabilities)
    if (0, 0) in means:
        assert found.gain == pytest.approx(max(means.values()) - means[0, 0], abs=1e-6)
    else:
        assert found.gain == 0
