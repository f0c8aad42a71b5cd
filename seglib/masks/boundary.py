"""How well the outline of one mask follows the outline of another: the counts behind the boundary F-score.

In: a truth and a prediction, uint8 (H, W), void 255 in the truth. Out: per class, how many boundary pixels each has and
how many lie near the other's. The score: Csurka et al. 2013, What is a good evaluation measure for semantic
segmentation?, with their tolerance of 0.75 % of the image's diagonal. Knows nothing of files, stores or nets.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seglib.classes import VOID

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Mask = NDArray[np.uint8]

TOLERANCE = 0.0075
"""Of the diagonal, and at least one pixel: how far apart two boundaries may be."""

DEEP = 4
"""Void further than so many tolerances from any labelled pixel is no band between objects, but a place nobody knows."""


def tolerance_px(size_hw: tuple[int, ...]) -> float:
    return max(1.0, TOLERANCE * math.hypot(*size_hw))


def matches(truth: Mask, prediction: Mask) -> dict[int, tuple[int, int, int, int]]:
    """class -> (predicted boundary pixels near the truth's, all predicted, truth's near the prediction's, all truth's).

    A pixel is boundary of its class if one of its 4 neighbours within the picture is of another. In the truth, void is
    first filled with the class of the nearest labelled pixel, which puts the boundary into the middle of the band that
    VOC and trimaps leave between objects. Void deeper than `DEEP` tolerances counts for neither side. Classes without
    a boundary in either mask are left out.
    """
    limit = tolerance_px(truth.shape)
    whole, deep = _filled(truth, DEEP * limit)
    edge_truth, edge_prediction = (edges(mask) & ~deep for mask in (whole, prediction))
    found = {}
    for value in np.union1d(whole[edge_truth], prediction[edge_prediction]):
        if value == VOID:
            continue
        points_truth = np.argwhere(edge_truth & (whole == value))
        points_prediction = np.argwhere(edge_prediction & (prediction == value))
        found[int(value)] = (
            _near(points_prediction, points_truth, limit),
            len(points_prediction),
            _near(points_truth, points_prediction, limit),
            len(points_truth),
        )
    return found


def edges(mask: Mask) -> NDArray[np.bool_]:
    """Pixels with one of their 4 neighbours in another class."""
    found = np.zeros(mask.shape, bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def filled(truth: Mask) -> Mask:
    """Void with the class of the nearest labelled pixel; as it is where nothing is labelled."""
    return _filled(truth, math.inf)[0]


def _filled(truth: Mask, limit: float) -> tuple[Mask, NDArray[np.bool_]]:
    """Void with the nearest labelled pixel's class, and where void lies deeper than the limit."""
    void = truth == VOID
    deep = np.zeros(truth.shape, bool)
    if not void.any() or void.all():
        return truth, void
    rim = np.argwhere(edges(void.astype(np.uint8)) & ~void)  # the nearest labelled pixel is always one of these
    holes = np.argwhere(void)
    distance, at = _tree(rim).query(holes)
    whole = truth.copy()
    whole[void] = truth[tuple(rim[at].T)]
    deep[void] = distance > limit
    return whole, deep


def _near(points: NDArray[np.intp], others: NDArray[np.intp], limit: float) -> int:
    """How many of the points have one of the others within the limit."""
    if not len(points) or not len(others):
        return 0
    distance, _ = _tree(others).query(points, distance_upper_bound=np.nextafter(limit, np.inf))
    return int(np.isfinite(distance).sum())


def _tree(points: NDArray[np.intp]) -> "cKDTree":
    from scipy.spatial import cKDTree

    return cKDTree(points)
