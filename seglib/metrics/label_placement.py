"""Find ground-truth masks that lie beside their object: would the mask fit the model's probabilities better elsewhere?

The fit of a mask is the mean log-likelihood of its labels under the model's class probabilities. `find_better_place`
moves the mask over the probabilities by up to `REACH` of each side, and returns where it fits best and how much better
that is. The soft minimum of label quality hardly notices a mask that is shifted by some pixels, since every mask has
doubtful pixels along its border.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.classes import VOID, Mask

REACH = 0.05
"""Greatest shift that is tried, as a share of the width and of the height."""

_LONG_SIDE = 256  # larger arrays are sampled
_SMALLEST_PROBABILITY = 1e-3  # so that single pixels of which the model is too sure do not decide


@dataclass(frozen=True)
class Placement:
    """Where a mask fits best."""

    gain: float
    """Mean gain in log-likelihood per pixel over where it lies, in nats; 0 if it fits nowhere better."""
    right: float
    """How far to the right the mask lies of the place where it fits best, as a share of the width; negative: left."""
    down: float
    """The same downwards, as a share of the height."""


def find_better_place(labels: Mask, probabilities: NDArray[np.float32]) -> Placement:
    """Find where a mask, uint8 (H, W) with 255 for void, fits probabilities, float32 (C, H, W), best.

    All places are compared on the same pixels, those that are further than the reach from the border. The likelihoods
    of all places are cross-correlations of one class's labels and log-probabilities, which are computed by FFT.
    """
    step = -(-max(labels.shape) // _LONG_SIDE)
    labels, probabilities = labels[::step, ::step], probabilities[:, ::step, ::step]
    height, width = labels.shape
    reach_y, reach_x = (round(REACH * side) for side in (height, width))
    inner = np.zeros((height, width))
    inner[reach_y : height - reach_y, reach_x : width - reach_x] = 1
    shape = tuple(-(-side // 32) * 32 for side in (height + reach_y, width + reach_x))  # no place wraps around
    total, pixels = np.zeros((2 * reach_y + 1, 2 * reach_x + 1)), np.zeros((2 * reach_y + 1, 2 * reach_x + 1))
    inner_spectrum = np.conj(np.fft.rfft2(inner, shape))
    for value in np.unique(labels[labels != VOID]):
        fits = np.log(np.maximum(probabilities[value], _SMALLEST_PROBABILITY)) * inner
        spectrum = np.fft.rfft2((labels == value).astype(np.float64), shape)
        fits_spectrum = np.conj(np.fft.rfft2(fits, shape))
        total += _within_reach(np.fft.irfft2(spectrum * fits_spectrum, shape), reach_y, reach_x)
        pixels += _within_reach(np.fft.irfft2(spectrum * inner_spectrum, shape), reach_y, reach_x)
    means = np.where(pixels > 0.5, total / np.maximum(pixels, 1), -np.inf)
    here = means[reach_y, reach_x]
    if not np.isfinite(here):
        return Placement(0.0, 0.0, 0.0)
    y, x = np.unravel_index(int(means.argmax()), means.shape)
    gain = float(means[y, x] - here)
    if gain <= 0:
        return Placement(0.0, 0.0, 0.0)
    return Placement(gain, float(x - reach_x) / width, float(y - reach_y) / height)


def _within_reach(correlation: NDArray[np.float64], reach_y: int, reach_x: int) -> NDArray[np.float64]:
    """(2 * reach_y + 1, 2 * reach_x + 1): the shifts within reach, of a correlation that begins with no shift."""
    rows, columns = (np.arange(-reach, reach + 1) for reach in (reach_y, reach_x))
    return correlation[rows[:, None], columns]
