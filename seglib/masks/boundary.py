"""Match the boundary pixels of two masks, as needed for the boundary F-score.

Inputs are a ground truth and a prediction, uint8 (H, W), with void 255 (in predictions only if masks were imported).
The score is that of Csurka et al. 2013, What is a good evaluation measure for semantic segmentation?, with their
tolerance of 0.75 % of the image diagonal.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seglib.classes import VOID, Mask

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

TOLERANCE = 0.0075
"""Maximum distance of matching boundary pixels, as a share of the image diagonal (at least one pixel)."""

DEEP_VOID_TOLERANCES = 4
"""Void more than this many tolerances from any labelled pixel is an unlabelled area, not a border between objects."""


def tolerance_px(size_hw: tuple[int, ...]) -> float:
    return max(1.0, TOLERANCE * math.hypot(*size_hw))


def count_matches(truth: Mask, prediction: Mask) -> dict[int, tuple[int, int, int, int]]:
    """Count boundary pixels per class: (matched predicted, all predicted, matched truth, all truth).

    A pixel is on the boundary of its class if one of its 4 neighbours within the image has another class. Void is first
    filled with the class of the nearest labelled pixel, which puts the boundary in the middle of
    the border that VOC and trimaps leave between objects. Void deeper than `DEEP_VOID_TOLERANCES` tolerances is ignored
    in both masks. Classes without a boundary in either mask are left out.
    """
    limit = tolerance_px(truth.shape)
    whole, deep = _fill_void(truth, DEEP_VOID_TOLERANCES * limit)
    prediction, unlabelled = _fill_void(prediction, DEEP_VOID_TOLERANCES * limit)
    edge_truth, edge_prediction = (find_edges(mask) & ~(deep | unlabelled) for mask in (whole, prediction))
    counts = {}
    for value in np.union1d(whole[edge_truth], prediction[edge_prediction]):
        if value == VOID:
            continue
        points_truth = np.argwhere(edge_truth & (whole == value))
        points_prediction = np.argwhere(edge_prediction & (prediction == value))
        counts[int(value)] = (
            _count_near(points_prediction, points_truth, limit),
            len(points_prediction),
            _count_near(points_truth, points_prediction, limit),
            len(points_truth),
        )
    return counts


def find_edges(mask: Mask) -> NDArray[np.bool_]:
    """Mark pixels that have a 4-neighbour of another class."""
    edges = np.zeros(mask.shape, bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def fill_void(truth: Mask) -> Mask:
    """Fill void with the class of the nearest labelled pixel; a mask without labelled pixels is unchanged."""
    return _fill_void(truth, math.inf)[0]


def _fill_void(truth: Mask, limit: float) -> tuple[Mask, NDArray[np.bool_]]:
    """Return the mask with void filled, and where void is further than `limit` from a labelled pixel."""
    void = truth == VOID
    deep = np.zeros(truth.shape, bool)
    if not void.any() or void.all():
        return truth, void
    rim = np.argwhere(find_edges(void.astype(np.uint8)) & ~void)  # the nearest labelled pixel is always one of these
    holes = np.argwhere(void)
    distance, nearest = _build_tree(rim).query(holes)
    whole = truth.copy()
    whole[void] = truth[tuple(rim[nearest].T)]
    deep[void] = distance > limit
    return whole, deep


def _count_near(points: NDArray[np.intp], others: NDArray[np.intp], limit: float) -> int:
    """Count the points that have one of `others` within `limit`."""
    if not len(points) or not len(others):
        return 0
    distance, _ = _build_tree(others).query(points, distance_upper_bound=np.nextafter(limit, np.inf))
    return int(np.isfinite(distance).sum())


def _build_tree(points: NDArray[np.intp]) -> "cKDTree":
    from scipy.spatial import cKDTree

    return cKDTree(points)
