"""Counts of pairs of classes: against a plain loop, and properties that hold for any two masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.classes import VOID
from seglib.metrics import confusion
from seglib.metrics.measures import agreement_measures
from tests.seglib.metrics.small_masks import NOTHING, PAIRS, A, B, of


def test_counts_are_those_of_a_plain_loop_and_rows_are_the_first_mask():
    expected = np.zeros((4, 4), int)
    for a, b in zip(A.ravel(), B.ravel(), strict=True):
        if a != VOID and b != VOID:
            expected[a, b] += 1
    assert expected[1, 2] == 1  # one pixel of cat in A is dog in B ...
    assert expected[2, 1] == 0  # ... and none the other way round
    assert (confusion.confusion_matrix(A, B, 4, 4) == expected).all()
    assert (confusion.confusion_matrix(B, A, 4, 4) == expected.T).all()
    assert (of((A, B)).matrix() == expected).all()
    assert (of((A, B), (B, A)).matrix() == expected + expected.T).all()
    assert of((A, B), (B, A)).cell("cat", "dog").tolist() == [1, 0]
    assert of((A, B), (B, A)).cell("dog", "cat").tolist() == [0, 1]


def test_one_pixel_and_no_pixel_are_counted():
    assert confusion.confusion_matrix(A[:1, :1], B[:1, :1], 4, 4).sum() == 1
    assert confusion.confusion_matrix(A[:0], B[:0], 4, 4).sum() == 0
    assert of().matrix().sum() == 0


def test_a_class_beyond_the_classes_is_an_error():
    with pytest.raises(ValueError, match="beyond"):
        confusion.confusion_matrix(A, B, 2, 2)
    with pytest.raises(ValueError, match="shape"):
        confusion.joint_histogram(A, B[:2])


def test_images_can_be_taken_in_any_order_and_again():
    three = of((A, B), (A, A), (NOTHING, B))
    taken = three.take(np.array([2, 0, 0]))
    again = of((NOTHING, B), (A, B), (A, B))
    assert taken.images == 3
    for name, measure in agreement_measures(taken).items():
        np.testing.assert_array_equal(measure.per_image(), agreement_measures(again)[name].per_image())
    assert three.take(np.zeros(0, int)).matrix().sum() == 0


@settings(max_examples=60)
@given(PAIRS, st.randoms())
def test_counts_hold_each_known_pixel_once_in_any_order_of_photos_and_at_any_size(pairs, random):
    matrix = of(*pairs).matrix()
    assert matrix.sum() == sum(((a != VOID) & (b != VOID)).sum() for a, b in pairs)
    assert (of(*random.sample(pairs, len(pairs))).matrix() == matrix).all()
    enlarged = [tuple(mask.repeat(3, 0).repeat(2, 1) for mask in pair) for pair in pairs]
    assert (of(*enlarged).matrix() == 6 * matrix).all()
