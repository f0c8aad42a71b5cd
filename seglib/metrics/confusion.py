"""How alike two masks are, and how right one is: counts first, ratios after.

In: index masks, or the counts of many pairs of masks (`Counts`). Out: `Measure`s by name, each with its value over all
pixels, its value per image, and the mean of those. A value that is not defined (nothing to divide by) is None, and NaN
inside arrays: never 0 by accident. Pure NumPy. Knows nothing of stores, files or runs, nor of how far chance would move
a measure (`intervals.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.classes import VOID

Mask = NDArray[np.uint8]
Column = NDArray[np.float64]


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
