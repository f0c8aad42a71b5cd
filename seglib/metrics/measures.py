"""Agreement and accuracy measures as ratios of counts: IoU, Dice, pixel accuracy, boundary F-score.

Undefined values (denominator 0) are None, or NaN inside arrays, never 0.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.classes import BACKGROUND, VOID, Mask, class_lookup
from seglib.metrics.confusion import ClassOverlap, Column, JointCounts, _sum_at


@dataclass(frozen=True, eq=False)
class Measure:
    """A measure computed from sums: `value(*columns)` of single images, of totals or of bootstrap resamples."""

    formula: Callable[..., Column]
    columns: tuple[Column, ...]
    """Each (N,)."""

    def overall(self) -> float | None:
        """Value over all pixels, from the sums over all images."""
        return _none_if_nan(float(self.formula(*(column.sum(keepdims=True) for column in self.columns))[0]))

    def per_image(self) -> Column:
        """Value per image, (N,), NaN where undefined."""
        return self.formula(*self.columns)

    def mean(self) -> tuple[float | None, int]:
        """Mean over the images where it is defined, and their number."""
        values = self.per_image()
        values = values[~np.isnan(values)]
        return (float(values.mean()) if len(values) else None), len(values)


def ratio(numerator: Column, denominator: Column) -> Column:
    """Divide; NaN where the denominator is 0."""
    quotient = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def mean_of_ratios(*columns: Column) -> Column:
    """Mean of the defined ratios of (numerator, denominator, numerator, ...); NaN if none is defined."""
    ratios = np.array([ratio(*columns[i : i + 2]) for i in range(0, len(columns), 2)])
    defined = ~np.isnan(ratios)
    return ratio(np.where(defined, ratios, 0).sum(0), np.asarray(defined.sum(0), np.float64))


def agreement_measures(counts: JointCounts) -> dict[str, Measure]:
    """Measure the agreement of two masks, neither of which is the ground truth.

    Except for the area difference, only pixels count that have a common class in both masks:
    `pixel_agreement`: same class / compared pixels.
    `foreground_agreement`: same non-background class / not background in at least one; None if there are none.
    `iou:<class>`: in both / in at least one; None if in neither, 0 if in one.
    `area_difference:<class>`: share in b minus share in a, -1..1, of all pixels of the image; 0 if in neither.
    """
    overlap = counts.class_overlap(both_known=True)
    names = overlap.classes
    same = overlap.both.sum(1)
    ground = names.index(BACKGROUND) if BACKGROUND in names else None
    both_ground = overlap.both[:, ground] if ground is not None else np.zeros(counts.images)
    measures = {
        "pixel_agreement": Measure(ratio, (same, overlap.total)),
        "foreground_agreement": Measure(ratio, (same - both_ground, overlap.total - both_ground)),
    }
    measures |= _ious(overlap)
    areas_a, areas_b = (_areas(counts, values, classes, names) for values, classes in _both_sides(counts))
    every = counts.pixels_per_image()
    differences = areas_b - areas_a
    return measures | {f"area_difference:{n}": Measure(ratio, (differences[:, i], every)) for i, n in enumerate(names)}


def class_shares(counts: JointCounts, name: str) -> tuple[Column, Column]:
    """Return the class's share of each image in the first and the second mask, (N,) each; NaN without pixels."""
    every = counts.pixels_per_image()
    a, b = (_areas(counts, values, classes, [name])[:, 0] for values, classes in _both_sides(counts))
    return ratio(a, every), ratio(b, every)


def accuracy_measures(counts: JointCounts) -> dict[str, Measure]:
    """Measure a prediction (`b`) against the ground truth (`a`).

    Excludes void and ground-truth classes that the model does not have; predicted classes that the ground truth does
    not have count as wrong.
    `pixel_accuracy`: correct / compared pixels.
    `iou:<class>`: intersection / union. `dice:<class>`: 2 * intersection / (truth + prediction). Both are None if the
    class is in neither mask and 0 if it is in only one.
    `miou`, `mdice`: mean over the classes where the value is defined (as in torchmetrics, or a nanmean).
    `miou_truth`: mean over the classes in the ground truth: of that image per image, of all images over all pixels.
    """
    overlap = counts.class_overlap(both_known=False)
    ious = _ious(overlap)
    dices = {
        f"dice:{name}": Measure(ratio, (2 * overlap.both[:, i], overlap.a[:, i] + overlap.b[:, i]))
        for i, name in enumerate(overlap.classes)
    }
    return {
        "pixel_accuracy": Measure(ratio, (overlap.both.sum(1), overlap.total)),
        "miou": _mean_measure(ious.values(), counts.images),
        "miou_truth": _mean_in_truth(overlap, counts.images),
        "mdice": _mean_measure(dices.values(), counts.images),
        **ious,
        **dices,
    }


def boundary_f_measures(
    matches: Mapping[str, tuple[Column, Column, Column, Column]], images: int
) -> dict[str, Measure]:
    """Return `boundary_f:<class>` and their mean `boundary_f_measures` from the counts of `boundary.count_matches`,
    (N,) each.
    """
    per_class = {f"boundary_f:{name}": Measure(_f_score, columns) for name, columns in matches.items()}
    flat = tuple(column for columns in matches.values() for column in columns)
    return {"boundary_f": Measure(_mean_f, flat or (np.zeros(images),))} | per_class


def _f_score(hits_b: Column, all_b: Column, hits_a: Column, all_a: Column) -> Column:
    """Harmonic mean of precision and recall; 0 if only one side has a boundary, NaN if neither has one."""
    precision, recall = (np.nan_to_num(ratio(hits, every)) for hits, every in ((hits_b, all_b), (hits_a, all_a)))
    score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return np.where(all_a + all_b > 0, score, np.nan)


def _mean_f(*columns: Column) -> Column:
    scores = [_f_score(*columns[i : i + 4]) for i in range(0, len(columns) // 4 * 4, 4)]
    values = np.array(scores) if scores else np.full((1, *np.shape(columns[0])), np.nan)
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(0), defined.sum(0).astype(np.float64))


def _ious(overlap: ClassOverlap) -> dict[str, Measure]:
    union = overlap.a + overlap.b - overlap.both
    return {f"iou:{n}": Measure(ratio, (overlap.both[:, i], union[:, i])) for i, n in enumerate(overlap.classes)}


def _mean_measure(measures: Iterable[Measure], images: int) -> Measure:
    columns = tuple(column for one in measures for column in one.columns)
    return Measure(mean_of_ratios, columns or (np.zeros(images), np.zeros(images)))


def _mean_in_truth(overlap: ClassOverlap, images: int) -> Measure:
    columns = [(overlap.both[:, i], overlap.a[:, i], overlap.b[:, i]) for i in range(len(overlap.classes))]
    return Measure(_ious_in_truth, tuple(column for three in columns for column in three) or (np.zeros(images),) * 3)


def _ious_in_truth(*columns: Column) -> Column:
    """Mean IoU of the classes in the ground truth, from (both, truth, prediction, both, ...); NaN if there are none."""
    three = [columns[i : i + 3] for i in range(0, len(columns), 3)]
    parts = [(np.where(truth > 0, both, 0), np.where(truth > 0, truth + mask - both, 0)) for both, truth, mask in three]
    return mean_of_ratios(*(column for pair in parts for column in pair))


def _both_sides(counts: JointCounts) -> tuple[tuple[Mask, tuple[str, ...]], tuple[Mask, tuple[str, ...]]]:
    return (counts.a, counts.classes_a), (counts.b, counts.classes_b)


def _areas(counts: JointCounts, values: Mask, classes: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
    """Return (N, C): pixels per image of each of the named classes on one side."""
    place = class_lookup(classes, names)[values]
    labelled = place != VOID
    indices = counts.image[labelled] * len(names) + place[labelled]
    return _sum_at(indices, counts.pixels[labelled], counts.images * len(names)).reshape(counts.images, len(names))


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value
