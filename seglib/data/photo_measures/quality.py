"""Measure brightness, contrast, sharpness and information of an image, on a reduced copy of it.

Highlights, shadows, sharpness and entropy are defined as in cleanvision 0.3.7, which computes all but sharpness on the
full image (https://github.com/cleanlab/cleanvision, `issue_managers/image_property.py`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SHARPNESS_SIDE = 64
"""Long side in pixels at which sharpness is measured: blur that is not visible at this size does not count."""

_LEVELS = 1024
"""Levels to which brightness is rounded, for percentiles by counting."""
_CHANNEL_WEIGHTS = np.array([0.241, 0.691, 0.068], np.float32) * ((_LEVELS - 1) / 255) ** 2
_SHARPNESS_SCALE = 0.01
_ONE_TONE = 0.18
"""Scores of the grey histogram's spread up to this say nothing about sharpness."""


@dataclass(frozen=True)
class Quality:
    brightness: float
    """Mean of the pixels' perceived brightness, 0..1 (see `count_brightness`)."""
    contrast: float
    """Standard deviation of the pixels' perceived brightness, 0..0.5 (RMS contrast: Peli 1990)."""
    highlights: float
    """Brightness that 1 % of the pixels exceed, 0..1: low in a dark image."""
    shadows: float
    """Brightness that 95 % of the pixels exceed, 0..1: high in an overexposed image."""
    sharpness: float
    """0..1, low in a blurred image (see `sharpness_score`)."""
    image_entropy: float
    """Bits, 1.6..9.6: Shannon entropy of the three channels' histogram as one; low in an image of one colour."""


def measure_quality(image: NDArray[np.uint8], grey: Image.Image) -> Quality:
    """Measure an image, uint8 (H, W, 3) RGB, for which a long side of 160 pixels is enough.

    `grey`: the same image by `small_grey`.
    """
    counts = count_brightness(image)
    levels = np.arange(_LEVELS) / (_LEVELS - 1)
    pixels, up_to = counts.sum(), np.cumsum(counts)
    mean = float(counts @ levels / pixels)
    return Quality(
        brightness=mean,
        contrast=math.sqrt(float(counts @ (levels - mean) ** 2 / pixels)),
        highlights=float(levels[np.searchsorted(up_to, 0.99 * pixels)]),
        shadows=float(levels[np.searchsorted(up_to, 0.05 * pixels)]),
        sharpness=sharpness_score(grey),
        image_entropy=Image.fromarray(image).entropy(),
    )


def count_brightness(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 (1024,): pixels of each perceived brightness, from black to white; uint8 (H, W, 3) RGB.

    The HSP colour model: sqrt(0.241 R^2 + 0.691 G^2 + 0.068 B^2) / 255 (Finley 2006).
    """
    values = image.reshape(-1, 3).astype(np.float32)
    values *= values
    levels = np.sqrt(values @ _CHANNEL_WEIGHTS)  # (H * W,)
    levels += np.float32(0.5)
    return np.bincount(levels.astype(np.int64), minlength=_LEVELS)


def small_grey(image: Image.Image) -> Image.Image:
    """The image in grey ("L"), with a long side of at most `SHARPNESS_SIDE` pixels."""
    grey, longest = image.convert("L"), max(image.size)
    if longest <= SHARPNESS_SIDE:
        return grey
    width, height = (max(side * SHARPNESS_SIDE // longest, 1) for side in image.size)
    return grey.resize((width, height))


def sharpness_score(grey: Image.Image) -> float:
    """0..1: how strong the edges of an image by `small_grey` are.

    1 - exp(-s / 100), with s the standard deviation of the eight-neighbour Laplacian, clipped to 0..255; pixels at
    the border keep their grey. An image of almost one tone has no edges and yet need not be blurred: the spread of its
    histogram adds to the score.
    """
    edges = np.asarray(grey.filter(ImageFilter.FIND_EDGES), np.float32)
    spread = _score(float(np.std(grey.histogram())))
    return min(_score(float(edges.std())) + (spread if spread > _ONE_TONE else 0.0), 1.0)


def _score(deviation: float) -> float:
    return 1 - math.exp(-_SHARPNESS_SCALE * deviation)
