"""Label quality: by eye on a handful of pixels, and as cleanlab computes it on the same arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.metrics import label_quality
from seglib.metrics.label_quality import QualityCells, count_quality


def probabilities_of(labels, self_confidence, classes):
    """(C, P): the label's probability as given, the rest shared evenly by the other classes."""
    rest = (1 - self_confidence) / (classes - 1)
    table = np.repeat(rest[None], classes, 0)
    table[labels, np.arange(len(labels))] = self_confidence
    return table


def cells_of(labels, probabilities, *, images=1, image=0):
    """The cells of one image, as number `image` of so many."""
    labels = np.asarray(labels, np.uint8)
    confidence = probabilities[labels, np.arange(len(labels))]
    columns = count_quality(labels, probabilities.argmax(0).astype(np.uint8), confidence)
    return QualityCells(images, len(probabilities), np.full(len(columns["a"]), image), **columns)


def test_a_label_that_the_model_is_sure_of_scores_one_and_one_that_it_denies_nearly_zero():
    labels = np.array([0, 0, 1, 1])
    assert cells_of(labels, probabilities_of(labels, np.ones(4), 3)).scores().tolist() == [1]
    one_denied = cells_of(labels, probabilities_of(labels, np.array([1.0, 1, 1, 0]), 3))
    assert one_denied.scores()[0] == pytest.approx(3 * np.exp(-10) / (3 * np.exp(-10) + 1))


def test_a_class_is_judged_by_the_pixels_that_the_label_or_the_model_gives_to_it():
    labels = np.array([0, 0, 1, 2, 0])
    probabilities = np.eye(4)[:, [0, 3, 1, 3, 3]]  # the model sees class 3 in the second and the last two pixels
    cells = cells_of(labels, probabilities)
    assert cells.class_pixels().tolist() == [[3, 1, 1, 3]]
    assert cells.class_scores()[0, 1] == 1  # labelled and seen
    assert cells.class_scores()[0, 2] == cells.class_scores()[0, 3] == 0  # labelled but not seen, seen but not labelled
    assert cells.doubtful_pixels().tolist() == [3]
    assert [column.tolist() for column in cells.main_doubts()] == [[0], [3], [2]]


def test_images_keep_apart_and_can_be_selected():
    labels = np.array([0, 1])
    first = cells_of(labels, np.eye(3)[:, [0, 1]], images=3)
    last = cells_of(labels, np.eye(3)[:, [2, 1]], images=3, image=2)
    names = ("image", "a", "b", "pixels", "doubtful", "weighted", "weights")
    both = QualityCells(3, 3, *(np.concatenate([getattr(first, name), getattr(last, name)]) for name in names))
    assert np.isnan(both.scores()).tolist() == [False, True, False]  # the second has no labelled pixel
    assert both.labelled_pixels().tolist() == [2, 0, 2]
    assert [column.tolist() for column in both.main_doubts()] == [[-1, -1, 0], [-1, -1, 2], [0, 0, 1]]
    turned = both.take(np.array([2, 0, 2]))
    assert turned.scores().tolist() == both.scores()[[2, 0, 2]].tolist()
    assert turned.doubtful_pixels().tolist() == [1, 0, 1]
    assert both.take(np.array([], int)).class_scores().shape == (0, 3)


def test_a_pixel_is_doubtful_only_if_another_class_is_preferred():
    labels, predicted = np.array([0, 0, 0], np.uint8), np.array([1, 0, 1], np.uint8)
    found = label_quality.is_doubtful(labels, predicted, np.array([0.05, 0.05, 0.2]))
    assert found.tolist() == [True, False, False]  # the second with many classes, of which the label's is still first


@st.composite
def scenes(draw):
    """Labels (H, W) and probabilities (C, H, W), some of them exactly 0 or 1."""
    classes, height, width = draw(st.integers(2, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(scale=draw(st.sampled_from((0.1, 1, 8, 60))), size=(classes, height, width))
    powers = np.exp(logits - logits.max(0))
    return rng.integers(0, classes, (height, width)), (powers / powers.sum(0)).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(scenes())
def test_scores_are_those_of_cleanlab(scene):
    from cleanlab.segmentation import rank

    labels, probabilities = scene
    flat, table = labels.ravel(), probabilities.reshape(len(probabilities), -1)
    cells = cells_of(flat, table)
    expected, pixels = rank.get_label_quality_scores(labels[None], probabilities[None], method="softmin", verbose=False)
    assert cells.scores()[0] == pytest.approx(expected[0], abs=1e-6)
    predicted = table.argmax(0).astype(np.uint8)
    doubtful = label_quality.is_doubtful(flat.astype(np.uint8), predicted, pixels.ravel())
    issues = rank.issues_from_scores(expected, pixels, threshold=label_quality.DOUBTFUL_BELOW).ravel()
    assert (doubtful == (issues & (predicted != flat))).all()
    for index in range(len(table)):  # a class's score is cleanlab's of a photo of the pixels that are about the class
        about = (flat == index) | (predicted == index)
        if about.any():
            part = flat[about][None, None], table[:, about][None, :, None]
            (value,), _ = rank.get_label_quality_scores(*part, method="softmin", verbose=False)
            assert cells.class_scores()[0, index] == pytest.approx(value, abs=1e-6)
