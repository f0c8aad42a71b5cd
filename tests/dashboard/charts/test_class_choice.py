"""The classes that are shown are the largest ones, and equal ones keep their order."""

import numpy as np
import pandas as pd

from dashboard.charts.class_choice import (
    background_first,
    larger_side_pixels,
    largest_classes,
    side_pixels,
    total_pixels,
)
from seglib.metrics.confusion import JointCounts


def test_the_largest_come_first_and_what_has_no_size_is_left_out():
    sizes = {"cat": 2, "background": 9, "dog": 2, "sofa": 0, "cow": 3}
    assert largest_classes(sizes) == ["background", "cow", "cat", "dog"]
    assert largest_classes(sizes, 2) == ["background", "cow"]
    assert largest_classes(pd.Series({"cat": np.nan, "dog": 0.1, "cow": 0.0})) == ["dog"]
    assert largest_classes({}) == []


def test_the_background_goes_to_the_front():
    assert background_first(["cat", "background", "dog"]) == ["background", "cat", "dog"]
    assert background_first(["cat"]) == ["cat"]


def test_pixels_of_each_side():
    counts = joint_counts([(0, 0, 5), (1, 1, 2), (1, 0, 1)], ("background", "cat"), ("background", "dog"))
    assert side_pixels(counts) == ({"background": 5, "cat": 3}, {"background": 6, "dog": 2})
    assert total_pixels(counts) == {"background": 11, "cat": 3, "dog": 2}
    other = joint_counts([(0, 0, 1), (1, 1, 7)], ("background", "cat"), ("background", "cat"))
    assert larger_side_pixels([counts, other]) == {"background": 6, "cat": 7, "dog": 2}


def joint_counts(cells: list[tuple[int, int, int]], classes_a: tuple[str, ...], classes_b: tuple[str, ...]):
    """One photo with these cells (value in A, value in B, pixels)."""
    a, b, pixels = (np.array(column) for column in zip(*cells, strict=True))
    return JointCounts(
        images=1, image=np.zeros(len(cells), np.intp), a=a, b=b, pixels=pixels, classes_a=classes_a, classes_b=classes_b
    )
