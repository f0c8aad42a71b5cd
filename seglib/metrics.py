"""How alike two masks are, and how right one is: counts first, ratios after.

In: index masks, or the counts of many pairs of masks (`Counts`). Out: `Measure`s by name, each with its value over all
pixels, its value per image, and the mean of those. A value that is not defined (nothing to divide by) is None, and NaN
inside arrays: never 0 by accident. Pure NumPy. Knows nothing of stores, files or runs, nor of how far chance would move
a measure (`intervals.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.classes import BACKGROUND, VOID

Mask = NDArray[np.uint8]
Column = NDArray[np.float64]

CONFIDENCE_BINS = 15
"""Equally wide bins of 0..1 (Guo et al. 2017, On Calibration of Modern Neural Networks)."""

_VALUES = 256  # of a pixel


# --- counting ----------------------------------------------------------------------------------------------------


def joint(a: Mask, b: Mask) -> tuple[Mask, Mask, NDArray[np.int64]]:
    """(value in a, value in b, pixels) of each pair of values that lies somewhere on top of each other, by value.

    Both masks have one shape. Pixels beside each other mostly hold the same pair, so runs of them are counted: five
    times as fast as counting pixel by pixel.
    """
    if a.shape != b.shape:
        raise ValueError(f"The masks differ in shape: {a.shape} and {b.shape}.")
    pairs = (a.astype(np.uint16) * _VALUES + b).ravel()
    if not len(pairs):
        return a.ravel(), b.ravel(), np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.flatnonzero(pairs[1:] != pairs[:-1]) + 1])
    lengths = np.diff(starts, append=len(pairs))
    counts = np.bincount(pairs[starts], lengths)
    found = np.flatnonzero(counts)
    return (found // _VALUES).astype(np.uint8), (found % _VALUES).astype(np.uint8), counts[found].astype(np.int64)


def confusion(a: Mask, b: Mask, classes_a: int, classes_b: int) -> NDArray[np.int64]:
    """int64 (classes_a, classes_b): pixels that are row's class in a and column's in b; void (255) is ignored."""
    values_a, values_b, pixels = joint(a, b)
    known = (values_a != VOID) & (values_b != VOID)
    matrix = np.zeros((classes_a, classes_b), np.int64)
    try:
        matrix[values_a[known], values_b[known]] = pixels[known]
    except IndexError:
        raise ValueError(f"A mask holds a class beyond its {classes_a} or {classes_b} classes.") from None
    return matrix


@dataclass(frozen=True, eq=False)
class Counts:
    """The joint counts of N pairs of masks: cell k says that `pixels[k]` pixels of image `image[k]` are class `a[k]`
    in the one mask and `b[k]` in the other. Only cells with pixels are kept; void (255) is kept too.
    """

    images: int
    image: NDArray[np.int64]
    """(K,) 0..N-1."""
    a: Mask
    """(K,) index in `classes_a`, or 255."""
    b: Mask
    pixels: NDArray[np.int64]
    classes_a: tuple[str, ...]
    classes_b: tuple[str, ...]

    @classmethod
    def of_masks(
        cls, pairs: Iterable[tuple[Mask, Mask]], classes_a: Sequence[str], classes_b: Sequence[str]
    ) -> "Counts":
        cells = [joint(a, b) for a, b in pairs]
        columns = [np.concatenate([one[i] for one in cells]) if cells else np.zeros(0, np.int64) for i in range(3)]
        image = np.repeat(np.arange(len(cells)), [len(one[2]) for one in cells])
        a, b, pixels = columns
        return cls(
            len(cells), image, a.astype(np.uint8), b.astype(np.uint8), pixels, tuple(classes_a), tuple(classes_b)
        )

    def taken(self, at: NDArray[np.integer]) -> "Counts":
        """Of these images, in this order; one may be named several times."""
        order = np.argsort(self.image, kind="stable")
        starts = np.searchsorted(self.image[order], np.arange(self.images + 1))
        lengths = (starts[1:] - starts[:-1])[at]
        ends = np.cumsum(lengths)
        cells = order[np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts[:-1][at] - ends + lengths, lengths)]
        image = np.repeat(np.arange(len(at)), lengths)
        return Counts(len(at), image, self.a[cells], self.b[cells], self.pixels[cells], self.classes_a, self.classes_b)

    def renamed(self, classes_a: Sequence[str]) -> "Counts":
        """The same with other names on the one side; names may repeat, which makes one class of several."""
        kept = tuple(dict.fromkeys(classes_a))
        place = np.full(_VALUES, VOID, np.uint8)
        place[: len(classes_a)] = [kept.index(name) for name in classes_a]
        return Counts(self.images, self.image, place[self.a], self.b, self.pixels, kept, self.classes_b)

    def matrix(self) -> NDArray[np.int64]:
        """int64 (classes_a, classes_b): pixels of all images; rows are `a`, columns `b`; void is left out."""
        shape = len(self.classes_a), len(self.classes_b)
        known = (self.a != VOID) & (self.b != VOID)
        matrix = np.zeros(shape, np.int64)
        np.add.at(matrix, (self.a[known], self.b[known]), self.pixels[known])
        return matrix

    def cell(self, name_a: str, name_b: str) -> NDArray[np.int64]:
        """int64 (N,): pixels per image that are `name_a` in the one mask and `name_b` in the other."""
        hit = (self.a == self.classes_a.index(name_a)) & (self.b == self.classes_b.index(name_b))
        return np.bincount(self.image[hit], self.pixels[hit], self.images).astype(np.int64)

    def area(self) -> Column:
        """float64 (N,): all pixels of each image, void included."""
        return _summed(self.image, self.pixels, self.images)

    @property
    def common(self) -> tuple[str, ...]:
        """The classes that both sides know, in the order of the first."""
        return tuple(dict.fromkeys(name for name in self.classes_a if name in self.classes_b))

    def sides(self, *, both_known: bool) -> "Sides":
        """Pixels per image and common class. Pixels are left out that are void, or of a class that `a` names and `b`
        does not know, and with `both_known` also those of a class that only `b` knows.
        """
        common = self.common
        in_a, in_b = (_places(names, common) for names in (self.classes_a, self.classes_b))
        row, column = in_a[self.a], in_b[self.b]
        used = (row >= 0) & (self.b != VOID) & ((column >= 0) | (not both_known))
        shape = self.images, len(common)

        def summed(cells: NDArray[np.bool_], classes: NDArray[np.int64]) -> NDArray[np.float64]:
            at = self.image[cells] * len(common) + classes[cells]
            return _summed(at, self.pixels[cells], shape[0] * shape[1]).reshape(shape)

        return Sides(
            classes=common,
            total=_summed(self.image[used], self.pixels[used], self.images),
            a=summed(used, row),
            b=summed(used & (column >= 0), column),
            both=summed(used & (row == column), row),
        )


@dataclass(frozen=True, eq=False)
class Sides:
    """float64 (N, C) whole numbers: pixels per image of each common class."""

    classes: tuple[str, ...]
    total: Column
    """(N,): pixels that are compared."""
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    both: NDArray[np.float64]


def _summed(at: NDArray[np.integer], pixels: NDArray[np.int64], size: int) -> Column:
    """float64 (size,): the pixels that fall to each place."""
    return np.asarray(np.bincount(at, pixels, size), np.float64)


def _places(names: Sequence[str], common: Sequence[str]) -> NDArray[np.int64]:
    """int64 (256,): value of a mask -> place among the common classes, -1 for void and for classes of one side."""
    places = np.full(_VALUES, -1, np.int64)
    places[: len(names)] = [common.index(name) if name in common else -1 for name in names]
    return places


# --- measures ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Measure:
    """A function of sums: `value(*columns)` of each image's columns, of their totals, or of any resample's."""

    value: Callable[..., Column]
    columns: tuple[Column, ...]
    """Each (N,)."""

    def overall(self) -> float | None:
        """Over all pixels: of the sums of all images."""
        return _known(float(self.value(*(column.sum(keepdims=True) for column in self.columns))[0]))

    def each(self) -> Column:
        """(N,) per image, NaN where it is not defined."""
        return self.value(*self.columns)

    def mean(self) -> tuple[float | None, int]:
        """Over the images where it is defined, and how many those are."""
        values = self.each()
        values = values[~np.isnan(values)]
        return (float(values.mean()) if len(values) else None), len(values)


def ratio(numerator: Column, denominator: Column) -> Column:
    """NaN where the denominator is 0."""
    quotient = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def mean_of_ratios(*columns: Column) -> Column:
    """Of numerator, denominator, numerator, ...: the mean of those ratios that are defined; NaN without any."""
    ratios = np.array([ratio(*columns[i : i + 2]) for i in range(0, len(columns), 2)])
    there = ~np.isnan(ratios)
    return ratio(np.where(there, ratios, 0).sum(0), np.asarray(there.sum(0), np.float64))


def agreement(counts: Counts) -> dict[str, Measure]:
    """Two masks of equal rights. With n pixels that both name by a class that both know:

    `pixel_agreement`: same class / n. `foreground_agreement`: same class other than background / at least one of the
    two is not background; None if there are none. `iou:<class>`: both / at least one; None if neither has it, 0 if one
    has. `area_difference:<class>`: share of b minus share of a, -1..1, of all pixels, those included that only one
    side has a name for; 0 if neither has it. None of it is an accuracy.
    """
    sides = counts.sides(both_known=True)
    names = sides.classes
    same = sides.both.sum(1)
    ground = names.index(BACKGROUND) if BACKGROUND in names else None
    both_ground = sides.both[:, ground] if ground is not None else np.zeros(counts.images)
    found = {
        "pixel_agreement": Measure(ratio, (same, sides.total)),
        "foreground_agreement": Measure(ratio, (same - both_ground, sides.total - both_ground)),
    }
    found |= _ious(sides)
    areas_a, areas_b = (_areas(counts, values, classes, names) for values, classes in _both_sides(counts))
    every = counts.area()
    differences = areas_b - areas_a
    return found | {f"area_difference:{n}": Measure(ratio, (differences[:, i], every)) for i, n in enumerate(names)}


def class_shares(counts: Counts, name: str) -> tuple[Column, Column]:
    """(N,) each: the share of each image's pixels that the one mask names so, and the other; NaN without pixels."""
    every = counts.area()
    a, b = (_areas(counts, values, classes, [name])[:, 0] for values, classes in _both_sides(counts))
    return ratio(a, every), ratio(b, every)


def accuracy(counts: Counts) -> dict[str, Measure]:
    """A mask (`b`) against the truth (`a`); pixels are left out that are void, or of a class the mask cannot name.

    `pixel_accuracy`: right / all. `iou:<class>`: both / at least one; `dice:<class>`: 2 both / (truth + prediction);
    both None where the class is absent from truth and prediction, 0 where it is in one of them. `miou` and `mdice`:
    mean over the classes where it is not None (so do torchmetrics and a nanmean). `miou_truth`: mean over the classes
    that the truth holds: of an image that image's, over all pixels those of any image. What the mask names and the
    truth does not know counts as wrong.
    """
    sides = counts.sides(both_known=False)
    ious = _ious(sides)
    dices = {
        f"dice:{name}": Measure(ratio, (2 * sides.both[:, i], sides.a[:, i] + sides.b[:, i]))
        for i, name in enumerate(sides.classes)
    }
    return {
        "pixel_accuracy": Measure(ratio, (sides.both.sum(1), sides.total)),
        "miou": _mean_measure(ious.values(), counts.images),
        "miou_truth": _mean_in_truth(sides, counts.images),
        "mdice": _mean_measure(dices.values(), counts.images),
        **ious,
        **dices,
    }


def boundary_f(matches: Mapping[str, tuple[Column, Column, Column, Column]], images: int) -> dict[str, Measure]:
    """Of `boundary.matches` per class, (N,) each: `boundary_f:<class>` and their mean `boundary_f`."""
    found = {f"boundary_f:{name}": Measure(_f_score, columns) for name, columns in matches.items()}
    flat = tuple(column for columns in matches.values() for column in columns)
    return {"boundary_f": Measure(_mean_f, flat or (np.zeros(images),))} | found


def _f_score(hits_b: Column, all_b: Column, hits_a: Column, all_a: Column) -> Column:
    """Harmonic mean of precision and recall; 0 if only one side has a boundary, NaN if neither."""
    precision, recall = (np.nan_to_num(ratio(hits, every)) for hits, every in ((hits_b, all_b), (hits_a, all_a)))
    score = np.nan_to_num(ratio(2 * precision * recall, precision + recall))
    return np.where(all_a + all_b > 0, score, np.nan)


def _mean_f(*columns: Column) -> Column:
    scores = [_f_score(*columns[i : i + 4]) for i in range(0, len(columns) // 4 * 4, 4)]
    values = np.array(scores) if scores else np.full((1, *np.shape(columns[0])), np.nan)
    there = ~np.isnan(values)
    return ratio(np.where(there, values, 0).sum(0), there.sum(0).astype(np.float64))


def expected_calibration_error(
    pixels: NDArray[np.float64], confidence: NDArray[np.float64], correct: NDArray[np.float64]
) -> Measure:
    """Per image and bin of confidence (N, B): pixels, the sum of their confidences, those that are right.

    sum over bins of |right - confidence| / pixels: the gap of each bin weighted by its pixels (Naeini et al. 2015).
    """
    return Measure(_gap, (pixels.sum(1), *(correct - confidence).T))


def image_calibration_error(confidence: Column, accurate: Column) -> Measure:
    """The same with an image as the unit: its mean confidence against its pixel accuracy, each image once.

    Images without one of the two are left out. The value per image is |accuracy - confidence|.
    """
    known = ~(np.isnan(confidence) | np.isnan(accurate))
    at = confidence_bin(np.where(known, confidence, 0))
    gaps = np.where(known, accurate - confidence, 0)
    return Measure(_gap, (known.astype(np.float64), *(np.where(at == b, gaps, 0) for b in range(CONFIDENCE_BINS))))


def confidence_bin(confidence: NDArray[np.floating]) -> NDArray[np.int64]:
    """Bin 0..14 of each confidence; a bin holds its lower end, the last also 1."""
    bins = np.floor(np.asarray(confidence, np.float64) * CONFIDENCE_BINS).astype(np.int64)
    return np.clip(bins, 0, CONFIDENCE_BINS - 1)


def _gap(every: Column, *differences: Column) -> Column:
    return ratio(np.abs(np.array(differences)).sum(0), every)


def _ious(sides: Sides) -> dict[str, Measure]:
    union = sides.a + sides.b - sides.both
    return {f"iou:{n}": Measure(ratio, (sides.both[:, i], union[:, i])) for i, n in enumerate(sides.classes)}


def _mean_measure(measures: Iterable[Measure], images: int) -> Measure:
    columns = tuple(column for one in measures for column in one.columns)
    return Measure(mean_of_ratios, columns or (np.zeros(images), np.zeros(images)))


def _mean_in_truth(sides: Sides, images: int) -> Measure:
    columns = [(sides.both[:, i], sides.a[:, i], sides.b[:, i]) for i in range(len(sides.classes))]
    return Measure(_ious_in_truth, tuple(column for three in columns for column in three) or (np.zeros(images),) * 3)


def _ious_in_truth(*columns: Column) -> Column:
    """Of both, truth, prediction, both, ...: the mean IoU of the classes whose truth is not 0; NaN without any."""
    three = [columns[i : i + 3] for i in range(0, len(columns), 3)]
    parts = [(np.where(truth > 0, both, 0), np.where(truth > 0, truth + mask - both, 0)) for both, truth, mask in three]
    return mean_of_ratios(*(column for pair in parts for column in pair))


def _both_sides(counts: Counts) -> tuple[tuple[Mask, tuple[str, ...]], tuple[Mask, tuple[str, ...]]]:
    return (counts.a, counts.classes_a), (counts.b, counts.classes_b)


def _areas(counts: Counts, values: Mask, classes: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
    """(N, C): pixels per image that one side names by each of these classes."""
    place = _places(classes, names)[values]
    known = place >= 0
    at = counts.image[known] * len(names) + place[known]
    return _summed(at, counts.pixels[known], counts.images * len(names)).reshape(counts.images, len(names))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
