"""What a page asks of an evaluation: small frames and figures of runs against a truth, and an order of photos.

In: `Evaluation`s of the same photos. Out: what charts and tables draw, with its n and its intervals. Only measures that
are shown get intervals, since these cost most. Knows nothing of pages or caches.
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
"""Measure -> what it is called, in the order of the page."""

OF_CLASS: dict[str, str] = {"iou": "IoU", "dice": "Dice", "boundary_f": "boundary F-score"}

GRADES: dict[str, str] = {"miou": "miou", "accuracy": "pixel_accuracy", "boundary": "boundary_f", "iou": "iou"}
"""Key of `state.GRADES` -> measure by which photos are sorted; of `iou`, the chosen class's."""


def figures(found: Sequence[Evaluation]) -> dict[str, dict[str, Figure]]:
    """Of each run, `SHOWN`; all runs see the same resamples."""
    flat = {(one.run.run, name): one.measures[name] for one in found for name in SHOWN}
    each = bootstrap.figures(flat)
    return {one.run.run: {name: each[one.run.run, name] for name in SHOWN} for one in found}


def main_classes(one: Evaluation, most: int) -> list[str]:
    """The classes with most pixels in truth or prediction, background first."""
    sizes = _sizes(one.counts)
    largest = sorted((name for name, pixels in sizes.items() if pixels), key=lambda name: -sizes[name])[:most]
    return sorted(largest, key=lambda name: name != BACKGROUND)


def _sizes(counts: Counts) -> dict[str, int]:
    """Class -> pixels in the truth, or in the prediction where these are more."""
    matrix = counts.matrix()
    sizes = dict(zip(counts.classes_a, matrix.sum(1).tolist(), strict=True))
    for name, pixels in zip(counts.classes_b, matrix.sum(0).tolist(), strict=True):
        sizes[name] = max(sizes.get(name, 0), pixels)
    return sizes


@dataclass(frozen=True)
class Classes:
    names: list[str]
    """Those that truth and run both name and that one of the two holds, most pixels first, background before them."""
    figures: Mapping[str, Figure]
    """`iou:<class>`, `dice:<class>`, `boundary_f:<class>`."""
    truth: Mapping[str, float]
    """Class -> its share of the labelled pixels of the truth."""


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
    """int64: the truth's classes in rows, the run's in columns."""
    every: pd.Series
    """Labelled pixels of each row's class, those in columns that are not shown included."""
    left_out: int
    """Classes with pixels that are not shown."""


def confusion(one: Evaluation, most: int) -> Confusion:
    pixels, names = one.confusion(), main_classes(one, most)
    rows, columns = ([name for name in names if name in side] for side in (pixels.index, pixels.columns))
    there = sum(1 for number in _sizes(one.counts).values() if number)
    return Confusion(pixels.loc[rows, columns], pixels.loc[rows].sum(axis=1), there - len(names))


def labels(one: Evaluation) -> list[tuple[str, int, dict[str, Figure]]]:
    """(folder label, photos, some of `SHOWN`) of each label, by name."""
    wanted = ("pixel_accuracy", "miou")
    return [
        (label, len(part.files), bootstrap.figures({name: part.measures[name] for name in wanted}))
        for label, part in one.by_label()
    ]


def differences(found: Sequence[Evaluation]) -> list[Difference]:
    """In mIoU and pixel accuracy, of every pair of runs."""
    return evaluation.differences(found)


def reliability(one: Evaluation) -> tuple[str, pd.DataFrame]:
    """(unit, its curve): of `pixels` if their confidence is known, else of `images`; without n if of neither."""
    unit = "pixels" if one.bins[0].sum() else "images"
    return unit, one.reliability(unit)


def order(one: Evaluation, grade: str, name: str, cell: Sequence[str]) -> Order:
    """By one of `GRADES`, `name` is the class of `iou`. With a `cell` (truth's class, run's class) only the photos that
    have such pixels, most of them (as a share of the photo) first.
    """
    if cell:
        share = ranking.cell_share(one.counts, cell)
        return ranking.ranked(share, -share, np.flatnonzero(share > 0))
    key = f"iou:{name}" if grade == "iou" else GRADES[grade]
    return ranking.ranked(one.measures[key].each() if key in one.measures else np.full(one.counts.images, np.nan))


def parts_of(one: Evaluation, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """(len(at), categories): the share of each category of `evaluate.judged` in these photos, from the counts."""
    counts = one.counts.taken(at)
    place = np.full(256, VOID, np.uint8)
    for value, name in enumerate(counts.classes_a):
        if name in counts.classes_b:
            place[value] = counts.classes_b.index(name)
    table = difference.category_table(counts.classes_b, counts.classes_b)
    return ranking.category_shares(counts, table[place[counts.a], counts.b])
