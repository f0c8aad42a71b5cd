"""Statistics of an evaluation: small frames and figures of runs against a ground truth, and photo rankings.

Takes `Evaluation`s of the same photos and returns the data of charts and tables, with n and intervals. Only the
measures on display get intervals, since those are the most expensive part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.queries import ranking
from dashboard.queries.ranking import Order
from seglib.classes import BACKGROUND, VOID
from seglib.evaluation import evaluation
from seglib.evaluation.evaluation import Difference, Evaluation
from seglib.masks import difference
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Figure
from seglib.metrics.confusion import Counts
from seglib.metrics.measures import Measure

SHOWN: dict[str, str] = {
    "pixel_accuracy": "pixel accuracy",
    "miou": "mIoU",
    "miou_truth": "mIoU of the classes in the truth",
    "mdice": "Dice",
    "boundary_f": "boundary F-score",
    "ece": "calibration error of pixels",
    "image_ece": "calibration error of photos",
}
"""Measure -> display name, in page order."""

OF_CLASS: dict[str, str] = {"iou": "IoU", "dice": "Dice", "boundary_f": "boundary F-score"}

GRADES: dict[str, str] = {"miou": "miou", "accuracy": "pixel_accuracy", "boundary": "boundary_f", "iou": "iou"}
"""Key of `state.GRADES` -> measure that photos are sorted by; for `iou`, that of the chosen class."""


def figures(found: Sequence[Evaluation]) -> dict[str, dict[str, Figure]]:
    """Return the measures in `SHOWN` for each run; all runs use the same resamples."""
    flat = {(one.run.run, name): one.measures[name] for one in found for name in SHOWN}
    each = bootstrap.figures(flat)
    return {one.run.run: {name: each[one.run.run, name] for name in SHOWN} for one in found}


def main_classes(one: Evaluation, most: int) -> list[str]:
    """Return the classes with the most pixels in ground truth or prediction, background first."""
    sizes = _sizes(one.counts)
    largest = sorted((name for name, pixels in sizes.items() if pixels), key=lambda name: -sizes[name])[:most]
    return sorted(largest, key=lambda name: name != BACKGROUND)


def _sizes(counts: Counts) -> dict[str, int]:
    """Return class -> its pixels in ground truth or prediction, whichever is larger."""
    matrix = counts.matrix()
    sizes = dict(zip(counts.classes_a, matrix.sum(1).tolist(), strict=True))
    for name, pixels in zip(counts.classes_b, matrix.sum(0).tolist(), strict=True):
        sizes[name] = max(sizes.get(name, 0), pixels)
    return sizes


@dataclass(frozen=True)
class Classes:
    names: list[str]
    """Classes known to both, with pixels in at least one: background first, then by number of pixels, descending."""
    figures: Mapping[str, Figure]
    """`iou:<class>`, `dice:<class>`, `boundary_f:<class>`."""
    truth: Mapping[str, float]
    """Class -> its share of the labelled ground-truth pixels."""


def classes(one: Evaluation) -> Classes:
    names = [name for name in main_classes(one, len(one.run.classes)) if name in one.counts.common]
    wanted: dict[str, Measure] = {}
    for kind in OF_CLASS:
        wanted |= {f"{kind}:{name}": one.measures[f"{kind}:{name}"] for name in names}
    labelled = one.counts.matrix().sum(1)
    every = max(1, int(labelled.sum()))
    truth = {name: pixels / every for name, pixels in zip(one.counts.classes_a, labelled.tolist(), strict=True)}
    return Classes(names, bootstrap.figures(wanted), truth)


@dataclass(frozen=True)
class Confusion:
    pixels: pd.DataFrame
    """int64 pixel counts: ground-truth classes in rows, the run's classes in columns."""
    every: pd.Series
    """Labelled pixels of each row's class, including those in columns not shown."""
    left_out: int
    """Number of classes that have pixels but are not shown."""


def confusion(one: Evaluation, most: int) -> Confusion:
    pixels, names = one.confusion(), main_classes(one, most)
    rows, columns = ([name for name in names if name in side] for side in (pixels.index, pixels.columns))
    there = sum(1 for number in _sizes(one.counts).values() if number)
    return Confusion(pixels.loc[rows, columns], pixels.loc[rows].sum(axis=1), there - len(names))


def labels(one: Evaluation) -> list[tuple[str, int, dict[str, Figure]]]:
    """Return (folder label, photos, some of `SHOWN`) for each label, sorted by name."""
    wanted = ("pixel_accuracy", "miou")
    return [
        (label, len(part.files), bootstrap.figures({name: part.measures[name] for name in wanted}))
        for label, part in one.by_label()
    ]


def differences(found: Sequence[Evaluation]) -> list[Difference]:
    """Return the differences in mIoU and pixel accuracy for every pair of runs."""
    return evaluation.differences(found)


def reliability(one: Evaluation) -> tuple[str, pd.DataFrame]:
    """Return (unit, reliability curve).

    The unit is `pixels` if their confidence is known, else `images`; without either, the curve has no n.
    """
    unit = "pixels" if one.bins[0].sum() else "images"
    return unit, one.reliability(unit)


def order(one: Evaluation, grade: str, name: str, cell: Sequence[str]) -> Order:
    """Rank photos by one of `GRADES`; `name` is the class of `iou`.

    With a `cell` (ground-truth class, run's class), only photos that contain such pixels, by their share of the photo,
    largest first.
    """
    if cell:
        share = ranking.cell_share(one.counts, cell)
        return ranking.ranked(share, -share, np.flatnonzero(share > 0))
    key = f"iou:{name}" if grade == "iou" else GRADES[grade]
    return ranking.ranked(one.measures[key].each() if key in one.measures else np.full(one.counts.images, np.nan))


def parts_of(one: Evaluation, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return, from the counts, the share of each category of `evaluate.judged`: shape (len(at), categories)."""
    counts = one.counts.taken(at)
    place = np.full(256, VOID, np.uint8)
    for value, name in enumerate(counts.classes_a):
        if name in counts.classes_b:
            place[value] = counts.classes_b.index(name)
    table = difference.category_table(counts.classes_b, counts.classes_b)
    return ranking.category_shares(counts, table[place[counts.a], counts.b])
