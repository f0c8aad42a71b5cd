"""From a mask to the numbers that are kept: pixels and blobs per class, dominant class, animal.

In: a mask uint8 (H, W), 0..C-1, and the class names. Out: integers per class, and one flat row per photo.
Counts come first; shares are left to `query`. Column names are made here and nowhere else.
Knows nothing of nets, files or frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE

MEASURES: tuple[str, ...] = ("confidence", "entropy", "low_margin")
"""float32 columns that the net's probabilities decide; null for masks that came without probabilities."""

LOW_MARGIN = 0.2
"""A pixel is undecided if its two best probabilities differ by less."""


def pixels_column(name: str) -> str:
    return f"px:{name}"


def blobs_column(name: str) -> str:
    return f"blobs:{name}"


def share_column(name: str) -> str:
    return f"share:{name}"


@dataclass(frozen=True)
class Measures:
    """How sure a net was of one photo; each 0..1."""

    confidence: float
    """Mean over pixels of the winning softmax probability."""
    entropy: float
    """Mean over pixels of the entropy of the class probabilities, divided by log C."""
    low_margin: float
    """Share of pixels whose two best probabilities differ by less than `LOW_MARGIN`."""


def count_pixels(mask: NDArray[np.uint8], classes: int) -> NDArray[np.int32]:
    """int32 (C,): pixels per class, zeros included; they add up to H * W."""
    counts = np.bincount(mask.ravel(), minlength=classes)
    if len(counts) > classes:
        raise ValueError(f"The mask holds class {len(counts) - 1}, but there are only {classes} classes.")
    return counts.astype(np.int32)


def count_blobs(mask: NDArray[np.uint8], pixels: NDArray[np.int32]) -> NDArray[np.uint16]:
    """uint16 (C,): connected regions per class that hold at least `PRESENT_SHARE` of the mask.

    Pixels that touch at a corner are connected (8 neighbours), so that a thin diagonal leg does not split an animal.
    """
    from scipy import ndimage  # 0.2 s that a rerun with nothing to do need not pay

    least = PRESENT_SHARE * mask.size
    blobs = np.zeros(len(pixels), np.uint16)
    for index in np.flatnonzero(pixels >= least):
        regions, _ = ndimage.label(mask == index, structure=np.ones((3, 3), bool))
        blobs[index] = np.count_nonzero(np.bincount(regions.ravel())[1:] >= least)
    return blobs


def dominant_class(pixels: NDArray[np.int32], classes: Sequence[str]) -> str:
    """The class with most pixels, background aside (a tie: the lower index); `background` if there is no other."""
    foreground = np.where([name == BACKGROUND for name in classes], 0, pixels)
    return classes[int(foreground.argmax())] if foreground.any() else BACKGROUND


def animal(pixels: NDArray[np.int32], classes: Sequence[str]) -> str | None:
    """cat or dog, whichever has more pixels; `none` if neither has any; None if the model knows neither."""
    known = [name for name in ANIMALS if name in classes]
    if not known:
        return None
    winner = max(known, key=lambda name: pixels[classes.index(name)])  # max keeps the first of equals
    return winner if pixels[classes.index(winner)] > 0 else "none"


def row(mask: NDArray[np.uint8], classes: Sequence[str], measures: Measures | None) -> dict[str, object]:
    """One photo's statistics as the store keeps them; `measures` is None where no probabilities are known."""
    pixels = count_pixels(mask, len(classes))
    blobs = count_blobs(mask, pixels)
    return {
        "grid_width": mask.shape[1],
        "grid_height": mask.shape[0],
        **{pixels_column(name): int(count) for name, count in zip(classes, pixels, strict=True)},
        **{blobs_column(name): int(count) for name, count in zip(classes, blobs, strict=True)},
        **{name: getattr(measures, name) if measures else None for name in MEASURES},
        "dominant": dominant_class(pixels, classes),
        "animal": animal(pixels, classes),
    }
