"""Captions name the classes in which two masks of a photo differ."""

import numpy as np

from dashboard.answers.captions import describe_difference, describe_error, largest_differences
from seglib.classes import BACKGROUND, VOID
from seglib.metrics.confusion import JointCounts

TRUTH = (BACKGROUND, "cat", "dog", "cow")
RUN = (BACKGROUND, "cat", "dog", "sofa")


def counts_of(*pairs: tuple[list[int], list[int]]) -> JointCounts:
    masks = [(np.array([a], np.uint8), np.array([b], np.uint8)) for a, b in pairs]
    return JointCounts.of_masks(masks, TRUTH, RUN)


def test_the_largest_differences_come_first_as_shares_of_the_pixels_that_are_compared():
    mixed = [2, 2, 2, 2, 2, 1, 1, 0, 0, 0, VOID, VOID], [1, 1, 1, 1, 2, 0, 0, 1, 0, 0, 1, 1]
    right = [0, 1, 1, VOID], [0, 1, 1, 2]
    first, second = largest_differences(counts_of(mixed, right), both_known=False)
    assert first == [("dog", "cat", 0.4), ("cat", BACKGROUND, 0.2)]  # the third, cat where nothing is, is not named
    assert second == []


def test_a_class_that_one_side_does_not_know_is_not_compared():
    (found,) = largest_differences(counts_of(([3, 3, 3, 0, 0], [0, 1, 3, 3, 0])), both_known=False)
    assert found == [(BACKGROUND, "sofa", 0.5)]  # cow is no class of the run; its sofa is wrong
    (found,) = largest_differences(counts_of(([3, 3, 3, 0, 0, 1], [0, 1, 3, 3, 0, 2])), both_known=True)
    assert found == [("cat", "dog", 0.5)]


def test_what_is_small_is_named_only_if_nothing_is_larger():
    (found,) = largest_differences(counts_of(([0] * 999 + [1], [0] * 1000)), both_known=True)
    assert found == [("cat", BACKGROUND, 0.001)]
    (found,) = largest_differences(counts_of(([0] * 900 + [1] * 100, [0] * 899 + [1] + [2] * 100)), both_known=True)
    assert found == [("cat", "dog", 0.1)]


def test_words():
    assert describe_error("dog", "cat", 0.62) == "dog taken for cat 62\xa0%"
    assert describe_error("sofa", BACKGROUND, 0.31) == "sofa missed 31\xa0%"
    assert describe_error(BACKGROUND, "cat", 0.12) == "cat invented 12\xa0%"
    assert describe_difference("cat", "dog", 0.31) == "A cat, B dog 31\xa0%"
