"""Expected calibration error: the gap between a model's confidence and its accuracy."""

import numpy as np
from numpy.typing import NDArray

from seglib.metrics.confusion import Column
from seglib.metrics.measures import Measure, ratio

CONFIDENCE_BINS = 15
"""Number of equal-width bins over 0..1 (Guo et al. 2017, On Calibration of Modern Neural Networks)."""


def expected_calibration_error(
    pixels: NDArray[np.float64], confidence: NDArray[np.float64], correct: NDArray[np.float64]
) -> Measure:
    """Compute the expected calibration error over pixels (Naeini et al. 2015).

    Inputs are (N, B) per image and confidence bin: pixel count, sum of confidences, correct pixels. The error is the
    sum over bins of |correct - confidence|, divided by all pixels.
    """
    return Measure(_gap, (pixels.sum(1), *(correct - confidence).T))


def image_calibration_error(confidence: Column, accurate: Column) -> Measure:
    """Compute the expected calibration error over images: mean confidence against pixel accuracy, (N,) each.

    Images where either is NaN are left out. The value per image is |accuracy - confidence|.
    """
    defined = ~(np.isnan(confidence) | np.isnan(accurate))
    bins = confidence_bin(np.where(defined, confidence, 0))
    gaps = np.where(defined, accurate - confidence, 0)
    return Measure(_gap, (defined.astype(np.float64), *(np.where(bins == b, gaps, 0) for b in range(CONFIDENCE_BINS))))


def confidence_bin(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the bin 0..14 of each confidence. Bins include their lower end; the last also includes 1."""
    bins = np.floor(np.asarray(confidence, np.float64) * CONFIDENCE_BINS).astype(np.int64)
    return np.clip(bins, 0, CONFIDENCE_BINS - 1)


def _gap(every: Column, *differences: Column) -> Column:
    return ratio(np.abs(np.array(differences)).sum(0), every)
