"""Score how well ground-truth masks agree with a model's class probabilities.

Of each labelled pixel, the label, the model's class, and the probability that the model gives to the label (the pixel's
*self-confidence*) are known. The score of an image is the soft minimum of its self-confidences (Lad and Mueller 2023,
Estimating label quality and errors in semantic segmentation data via any model): low if the model contradicts the label
somewhere and is sure of it. `count_quality` reduces the pixels of one image to sums, from which `QualityCells` computes
the scores of many images and of single classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.metrics.measures import ratio

TEMPERATURE = 0.1
"""Of the soft minimum; the lower, the nearer to the minimum."""

DOUBTFUL_BELOW = 0.1
"""A pixel is doubtful if the model gives its label a lower probability than this, and prefers another class."""

_VALUES = 256  # possible labels


def is_doubtful(
    labels: NDArray[np.uint8], predicted: NDArray[np.uint8], confidence: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """bool, shape of the arguments, which are those of `count_quality`: see `DOUBTFUL_BELOW`."""
    doubtful: NDArray[np.bool_] = (confidence < DOUBTFUL_BELOW) & (labels != predicted)
    return doubtful


def count_quality(
    labels: NDArray[np.uint8], predicted: NDArray[np.uint8], confidence: NDArray[np.floating]
) -> Mapping[str, NDArray[np.generic]]:
    """Sum up the labelled pixels of one image: label (P,), the model's class (P,), the label's probability (P,), 0..1.

    Returns the columns a, b, pixels, doubtful, weighted and weights of `QualityCells`.
    """
    self_confidence = confidence.astype(np.float64)
    weights = np.exp(self_confidence / -TEMPERATURE)
    pairs = labels.astype(np.intp) * _VALUES + predicted
    pixels = np.bincount(pairs)
    cells = np.flatnonzero(pixels)
    doubtful = np.bincount(pairs, is_doubtful(labels, predicted, confidence))
    return {
        "a": (cells // _VALUES).astype(np.uint8),
        "b": (cells % _VALUES).astype(np.uint8),
        "pixels": pixels[cells],
        "doubtful": doubtful[cells].astype(np.int64),
        "weighted": np.bincount(pairs, self_confidence * weights)[cells],
        "weights": np.bincount(pairs, weights)[cells],
    }


@dataclass(frozen=True, eq=False)
class QualityCells:
    """Sums over the labelled pixels of N images: cell k is about those that image `image[k]` labels `a[k]`, and that
    the model calls `b[k]`. Cells without pixels are not stored.
    """

    images: int
    classes: int
    image: NDArray[np.integer]
    """(K,) image index, 0..N-1."""
    a: NDArray[np.uint8]
    b: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    doubtful: NDArray[np.int64]
    weighted: NDArray[np.float64]
    """Sum of s exp(-s / T), s being the self-confidence and T the temperature."""
    weights: NDArray[np.float64]
    """Sum of exp(-s / T)."""

    def scores(self) -> NDArray[np.float64]:
        """(N,): soft minimum over all labelled pixels, 0..1; NaN if there are none."""
        return ratio(self._per_image(self.weighted), self._per_image(self.weights))

    def class_scores(self) -> NDArray[np.float64]:
        """(N, C): soft minimum over the pixels that the label or the model gives to the class; NaN if there are none.

        Both sides count, so that an object that the label misses lowers the score of its class too.
        """
        return ratio(self._per_class(self.weighted), self._per_class(self.weights))

    def class_pixels(self) -> NDArray[np.float64]:
        """(N, C): number of pixels that the label or the model gives to the class."""
        return self._per_class(self.pixels)

    def labelled_pixels(self) -> NDArray[np.float64]:
        """(N,)"""
        return self._per_image(self.pixels)

    def doubtful_pixels(self) -> NDArray[np.float64]:
        """(N,)"""
        return self._per_image(self.doubtful)

    def main_doubts(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
        """(label, the model's class, pixels) of the cell with the most doubtful pixels of each image, (N,) each.

        Images without a doubtful pixel have -1, -1, 0.
        """
        order = np.lexsort((-self.doubtful, self.image))
        order = order[self.doubtful[order] > 0]
        images, first = np.unique(self.image[order], return_index=True)
        cells = order[first]
        labels, predicted, pixels = np.full(self.images, -1), np.full(self.images, -1), np.zeros(self.images, np.int64)
        labels[images], predicted[images], pixels[images] = self.a[cells], self.b[cells], self.doubtful[cells]
        return labels, predicted, pixels

    def take(self, rows: NDArray[np.integer]) -> "QualityCells":
        """Select images by index, in the given order; repetitions are allowed."""
        order = np.argsort(self.image, kind="stable")
        starts = np.searchsorted(self.image[order], np.arange(self.images + 1))
        lengths = np.diff(starts)[rows]
        ends = np.cumsum(lengths)
        shifts = np.repeat(starts[:-1][rows] - ends + lengths, lengths)
        chosen = order[np.arange(ends[-1] if len(ends) else 0) + shifts]
        columns = (self.a, self.b, self.pixels, self.doubtful, self.weighted, self.weights)
        image = np.repeat(np.arange(len(rows)), lengths)
        return QualityCells(len(rows), self.classes, image, *(column[chosen] for column in columns))

    def _per_image(self, column: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.bincount(self.image, column, self.images).astype(np.float64)

    def _per_class(self, column: NDArray[np.generic]) -> NDArray[np.float64]:
        size = self.images * self.classes
        of_label, of_model = (self.image.astype(np.intp) * self.classes + side for side in (self.a, self.b))
        other = self.a != self.b
        totals = np.bincount(of_label, column, size) + np.bincount(of_model[other], column[other], size)
        return totals.astype(np.float64).reshape(self.images, self.classes)
