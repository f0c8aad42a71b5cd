"""Calibration errors against torchmetrics, and at their edges."""

import numpy as np
import pytest
import torch

from seglib.metrics import calibration


def test_expected_calibration_error_is_that_of_torchmetrics():
    from torchmetrics.functional.classification import binary_calibration_error

    draw = np.random.default_rng(1)
    confidence = draw.random((3, 400)) * 0.98 + 0.01
    correct = draw.random((3, 400)) < confidence**2
    bins = calibration.confidence_bin(confidence)
    pixels, sums, right = (np.zeros((3, calibration.CONFIDENCE_BINS)) for _ in range(3))
    for image in range(3):
        np.add.at(pixels[image], bins[image], 1)
        np.add.at(sums[image], bins[image], confidence[image])
        np.add.at(right[image], bins[image], correct[image])
    measure = calibration.expected_calibration_error(pixels, sums, right)
    expected = binary_calibration_error(torch.tensor(confidence.ravel()), torch.tensor(correct.ravel()), n_bins=15)
    assert measure.overall() == pytest.approx(float(expected), abs=1e-6)
    for image in range(3):
        one = binary_calibration_error(torch.tensor(confidence[image]), torch.tensor(correct[image]), n_bins=15)
        assert measure.per_image()[image] == pytest.approx(float(one), abs=1e-6)


def test_calibration_of_images_weighs_each_image_once_and_leaves_unknown_ones_out():
    confidence, accurate = np.array([0.9, 0.92, 0.5, np.nan, 0.3]), np.array([1.0, 0.7, 0.5, 0.4, np.nan])
    measure = calibration.image_calibration_error(confidence, accurate)
    assert measure.overall() == pytest.approx(abs(0.1 - 0.22) / 3)
    assert np.isnan(measure.per_image()).tolist() == [False, False, False, True, True]
    assert calibration.image_calibration_error(confidence[3:], accurate[3:]).overall() is None
    assert calibration.confidence_bin(np.array([0, 0.9999, 1.0, 1 / 15])).tolist() == [0, 14, 14, 1]
