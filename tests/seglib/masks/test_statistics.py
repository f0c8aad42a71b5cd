import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seglib.masks.statistics import (
    ConfidenceStats,
    count_pixels,
    count_regions,
    dominant_animal,
    dominant_class,
    stats_row,
)

CLASSES = ("background", "cat", "dog")


def mask(*rows: str) -> np.ndarray:
    return np.array([[int(digit) for digit in line] for line in rows], np.uint8)


def test_pixels_are_counted_for_every_class_zeros_included():
    assert count_pixels(mask("0011", "0001"), 4).tolist() == [5, 3, 0, 0]


def test_a_class_that_nobody_knows_is_a_bug_and_says_so():
    with pytest.raises(ValueError, match="class 3"):
        count_pixels(mask("03"), 3)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 20)))
def test_counts_equal_a_plain_loop_and_add_up(found):
    counts = count_pixels(found, 21)
    assert counts.tolist() == [sum(int(v) == c for v in found.ravel()) for c in range(21)]
    assert counts.sum() == found.size


@pytest.mark.parametrize(
    ("found", "blobs"),
    [
        (mask("1010", "0000", "0010", "1000"), [1, 4, 0]),
        (mask("1100", "0010", "0001", "0000"), [1, 1, 0]),  # corners connect, for the background too
        (mask("0000", "0000"), [1, 0, 0]),
        (mask("1"), [0, 1, 0]),
        (mask("1212", "1212"), [0, 2, 2]),
    ],
)
def test_blobs_of_small_masks(found, blobs):
    assert count_regions(found, 3)[1].tolist() == blobs


def test_a_speck_below_half_a_percent_is_no_blob():
    found = np.zeros((100, 100), np.uint8)
    found[0, :49] = 1  # 0.49 %
    found[50, :50] = 2  # 0.50 %
    assert count_regions(found, 3)[1].tolist() == [1, 0, 1]


@pytest.mark.slow
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 2)))
def test_blobs_equal_a_flood_fill(found):
    expected = [0, 0, 0]
    todo = {(y, x) for y in range(found.shape[0]) for x in range(found.shape[1])}
    while todo:
        stack = [todo.pop()]
        value, size = int(found[stack[0]]), 0
        while stack:
            y, x = stack.pop()
            size += 1
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
            same = {place for place in near if found[place] == value}
            todo -= same
            stack += same
        expected[value] += size >= 0.005 * found.size
    assert count_regions(found, 3)[1].tolist() == expected


@pytest.mark.parametrize(
    ("pixels", "dominant", "seen"),
    [
        ([90, 6, 4], "cat", "cat"),
        ([90, 4, 6], "dog", "dog"),
        ([90, 5, 5], "cat", "cat"),  # a tie goes to the lower index
        ([100, 0, 0], "background", "none"),
        ([0, 0, 1], "dog", "dog"),
    ],
)
def test_dominant_class_and_animal(pixels, dominant, seen):
    counts = np.array(pixels, np.int32)
    assert dominant_class(counts, CLASSES) == dominant
    assert dominant_animal(counts, CLASSES) == seen


def test_animal_is_null_where_the_model_knows_neither_and_takes_the_one_it_knows():
    assert dominant_animal(np.array([3, 4], np.int32), ("background", "pet")) is None
    assert dominant_animal(np.array([3, 4], np.int32), ("background", "dog")) == "dog"


def test_a_row_holds_grid_counts_and_measures():
    found = stats_row(mask("0011", "0011"), CLASSES, ConfidenceStats(0.9, 0.1, 0.05))
    assert found == {
        "grid_width": 4,
        "grid_height": 2,
        "px:background": 4,
        "px:cat": 4,
        "px:dog": 0,
        "blobs:background": 1,
        "blobs:cat": 1,
        "blobs:dog": 0,
        "confidence": 0.9,
        "entropy": 0.1,
        "low_margin": 0.05,
        "dominant": "cat",
        "animal": "cat",
    }


def test_without_probabilities_the_measures_are_null():
    assert stats_row(mask("0"), CLASSES, None)["confidence"] is None
