"""Compute the statistics stored for each mask: pixels and blobs per class, dominant class, animal.

Takes a mask uint8 (H, W) with values 0..C-1, or 255 for void, and the class names; `stats_row` returns one flat record
per image. Only counts are stored; `query` derives the shares. All column names are defined here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE, VOID

CONFIDENCE_COLUMNS: tuple[str, ...] = ("confidence", "entropy", "low_margin")
"""float32 columns computed from the model's probabilities; null for masks imported without probabilities."""

LOW_MARGIN = 0.2
"""A pixel is undecided if its two highest probabilities differ by less than this."""


def pixels_column(name: str) -> str:
    return f"px:{name}"


def blobs_column(name: str) -> str:
    return f"blobs:{name}"


def share_column(name: str) -> str:
    return f"share:{name}"


@dataclass(frozen=True)
class ConfidenceStats:
    """Confidence of a model on one image; all values 0..1, None where unknown."""

    confidence: float
    """Mean over pixels of the highest softmax probability."""
    entropy: float | None = None
    """Mean over pixels of the entropy of the class probabilities, divided by log C."""
    low_margin: float | None = None
    """Share of pixels whose two highest probabilities differ by less than `LOW_MARGIN`."""


def count_pixels(mask: NDArray[np.uint8], classes: int) -> NDArray[np.int32]:
    """Return pixels per class, int32 (C,), zeros included; void is not counted.

    Raises `ValueError` for other values beyond the classes.
    """
    return _check_counts(np.bincount(mask.ravel(), minlength=VOID + 1), classes)


def count_regions(mask: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Return what `count_pixels` does, and blobs per class, uint16 (C,).

    A blob is a connected region of at least `PRESENT_SHARE` of the mask's pixels; 8-connected, so that a thin diagonal
    limb does not split an animal. The regions of all classes are found at once from the runs of equal pixels in each
    row, which are far fewer than the pixels.
    """
    values, lengths, pairs = _find_runs(mask)
    pixels = _check_counts(np.bincount(values, lengths, VOID + 1), classes)
    sizes = np.bincount(_connect(len(values), pairs), lengths, len(values))  # 0 but for each region's first run
    large = values[(sizes >= PRESENT_SHARE * mask.size) & (sizes > 0)]
    return pixels, np.bincount(large, minlength=VOID + 1)[:classes].astype(np.uint16)


def _check_counts(counts: NDArray[Any], classes: int) -> NDArray[np.int32]:
    """The counts of the classes, of counts (256,) of all values."""
    if (beyond := np.flatnonzero(counts[classes:VOID])).size:
        raise ValueError(f"The mask holds class {classes + beyond[-1]}, but there are only {classes} classes.")
    return counts[:classes].astype(np.int32)


def _connect(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected components of `count` nodes: each node -> the first node of its component.

    Links each root to a smaller neighbour and shortens the paths to the roots, until nothing changes (Shiloach and
    Vishkin 1982).
    """
    root = np.arange(count)
    one, other = pairs.T
    while len(one):
        one, other = root[one], root[other]
        apart = one != other
        one, other = one[apart], other[apart]
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while (root != (shorter := root[root])).any():
            root = shorter
    return root


def _find_runs(mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The runs of equal pixels in the rows: value (R,), length (R,), and index pairs (P, 2) of those that touch.

    Runs of one value touch if they lie in adjacent rows and share a column, or a corner.
    """
    height, width = mask.shape
    starts_run = np.ones((height, width), bool)
    starts_run[:, 1:] = mask[:, 1:] != mask[:, :-1]
    starts = np.flatnonzero(starts_run)
    ends = np.append(starts[1:], mask.size) - 1  # the last pixel of each run
    values = mask.ravel()[starts]
    rows, first, last = starts // width, starts % width, ends % width
    below = (rows + 1) * (width + 2)  # places are numbered with a gap between rows
    start_places, end_places = rows * (width + 2) + first, rows * (width + 2) + last
    lowest = np.searchsorted(end_places, below + first - 1, "left")
    highest = np.searchsorted(start_places, below + last + 1, "right")
    counts = np.maximum(highest - lowest, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(len(upper)) + np.repeat(lowest - np.cumsum(counts) + counts, counts)
    same = values[upper] == values[lower]
    return values, ends - starts + 1, np.stack([upper[same], lower[same]], axis=1)


def dominant_class(pixels: NDArray[np.int32], classes: Sequence[str]) -> str:
    """Return the non-background class with the most pixels (ties: lowest index), or `background` if there is none."""
    foreground = np.where([name == BACKGROUND for name in classes], 0, pixels)
    return classes[int(foreground.argmax())] if foreground.any() else BACKGROUND


def dominant_animal(pixels: NDArray[np.int32], classes: Sequence[str]) -> str | None:
    """Return cat or dog, whichever has more pixels; `none` if neither has any; None if the model has neither class."""
    animals = [name for name in ANIMALS if name in classes]
    if not animals:
        return None
    winner = max(animals, key=lambda name: pixels[classes.index(name)])  # max returns the first of equals
    return winner if pixels[classes.index(winner)] > 0 else "none"


def stats_row(mask: NDArray[np.uint8], classes: Sequence[str], measures: ConfidenceStats | None) -> dict[str, object]:
    """Return an image's statistics as a store row; `measures` is None if there are no probabilities."""
    pixels, blobs = count_regions(mask, len(classes))
    return {
        "grid_width": mask.shape[1],
        "grid_height": mask.shape[0],
        **{pixels_column(name): count for name, count in zip(classes, pixels.tolist(), strict=True)},
        **{blobs_column(name): count for name, count in zip(classes, blobs.tolist(), strict=True)},
        **{name: getattr(measures, name) if measures else None for name in CONFIDENCE_COLUMNS},
        "dominant": dominant_class(pixels, classes),
        "animal": dominant_animal(pixels, classes),
    }
