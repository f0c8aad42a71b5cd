"""Statistics of an evaluation: small frames and figures of runs against a ground truth, and photo rankings.

Takes `Evaluation`s of the same photos and returns the data of charts and tables, with n and intervals. Only the
measures on display get intervals, since those are the most expensive part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.answers import evaluation as answers
from dashboard.answers.evaluation import Verdict
from dashboard.charts.class_choice import background_first, larger_side_pixels, largest_classes, side_pixels
from dashboard.formatting import MEASURE_NAMES
from dashboard.queries import ranking
from dashboard.queries.ranking import ImageOrder
from seglib.classes import BACKGROUND, class_lookup
from seglib.evaluation import evaluation
from seglib.evaluation.evaluation import Evaluation, PairedDifference
from seglib.masks import difference
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.measures import Measure

CLASS_MEASURES = ("iou", "dice", "boundary_f")

SORT_MEASURES: dict[str, str] = {"miou": "miou", "accuracy": "pixel_accuracy", "boundary": "boundary_f", "iou": "iou"}
"""Key of `state.SORT_MEASURES` -> measure that photos are sorted by; for `iou`, that of the chosen class."""


def figures(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, Estimate]]:
    """Return the measures in `MEASURE_NAMES` for each run; all runs use the same resamples."""
    flat = {(one.run.run, name): one.measures[name] for one in evaluations for name in MEASURE_NAMES}
    each = bootstrap.estimate(flat)
    return {one.run.run: {name: each[one.run.run, name] for name in MEASURE_NAMES} for one in evaluations}


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What the page begins with."""

    verdict: Verdict
    accuracy: Mapping[str, Estimate]
    """Run -> its pixel accuracy."""
    classes: Mapping[str, Mapping[str, Estimate]]
    """Class -> run -> its IoU, for the classes with the most pixels, background last; a run without it is left out."""


def headline(evaluations: Sequence[Evaluation], limit: int) -> Headline:
    """Return the figures of all runs for at most `limit` classes, from one bootstrap."""
    largest = largest_classes(larger_side_pixels([one.counts for one in evaluations]))
    known = {name for one in evaluations for name in one.counts.common_classes}
    names = sorted([name for name in largest if name in known][:limit], key=lambda name: name == BACKGROUND)
    wanted = {
        (one.run.run, key): one.measures[key]
        for one in evaluations
        for key in (answers.MEASURE, "pixel_accuracy", *(f"iou:{name}" for name in names))
        if key in one.measures
    }
    each = bootstrap.estimate(wanted)
    runs = [one.run.run for one in evaluations]
    return Headline(
        verdict=answers.judge(evaluations, {run: each[run, answers.MEASURE] for run in runs}),
        accuracy={run: each[run, "pixel_accuracy"] for run in runs},
        classes={
            name: {run: each[run, f"iou:{name}"] for run in runs if (run, f"iou:{name}") in each} for name in names
        },
    )


def main_classes(evaluation: Evaluation, limit: int) -> list[str]:
    """Return the classes with the most pixels in ground truth or prediction, background first."""
    return background_first(largest_classes(larger_side_pixels([evaluation.counts]), limit))


@dataclass(frozen=True)
class ClassFigures:
    names: list[str]
    """Classes known to both, with pixels in at least one: background first, then by number of pixels, descending."""
    figures: Mapping[str, Estimate]
    """`iou:<class>`, `dice:<class>`, `boundary_f:<class>`."""
    truth: Mapping[str, float]
    """Class -> its share of the labelled ground-truth pixels."""
    predicted: frozenset[str]
    """Classes with a pixel in the predictions."""


def class_figures(evaluation: Evaluation) -> ClassFigures:
    names = [
        name
        for name in main_classes(evaluation, len(evaluation.run.classes))
        if name in evaluation.counts.common_classes
    ]
    wanted: dict[str, Measure] = {}
    for kind in CLASS_MEASURES:
        wanted |= {f"{kind}:{name}": evaluation.measures[f"{kind}:{name}"] for name in names}
    labelled, predicted = side_pixels(evaluation.counts)
    every = max(1, sum(labelled.values()))
    truth = {name: pixels / every for name, pixels in labelled.items()}
    given = frozenset(name for name, pixels in predicted.items() if pixels)
    return ClassFigures(names, bootstrap.estimate(wanted), truth, given)


@dataclass(frozen=True, kw_only=True)
class Confusion:
    pixels: pd.DataFrame
    """int64 pixel counts: ground-truth classes in rows, the run's classes in columns."""
    row_pixels: pd.Series
    """Labelled pixels of each row's class, including those in columns not shown."""
    total_pixels: int
    """All labelled pixels, including those of classes not shown."""
    left_out: int
    """Number of classes that have pixels but are not shown."""


def confusion(evaluation: Evaluation, limit: int) -> Confusion:
    pixels, names = evaluation.confusion(), main_classes(evaluation, limit)
    rows, columns = ([name for name in names if name in side] for side in (pixels.index, pixels.columns))
    left_out = len(largest_classes(larger_side_pixels([evaluation.counts]))) - len(names)
    return Confusion(
        pixels=pixels.loc[rows, columns],
        row_pixels=pixels.loc[rows].sum(axis=1),
        total_pixels=int(pixels.to_numpy().sum()),
        left_out=left_out,
    )


def differences(evaluations: Sequence[Evaluation]) -> list[PairedDifference]:
    """Return the differences in mIoU and pixel accuracy for every pair of runs."""
    return evaluation.differences(evaluations)


def reliability(evaluation: Evaluation) -> tuple[str, pd.DataFrame]:
    """Return (unit, reliability curve).

    The unit is `pixels` if their confidence is known, else `images`; without either, the curve has no n.
    """
    unit = "pixels" if evaluation.bins[0].sum() else "images"
    return unit, evaluation.reliability(unit)


def sort_worst_first(evaluation: Evaluation, grade: str, name: str, cell: Sequence[str]) -> ImageOrder:
    """Rank photos by one of `SORT_MEASURES`; `name` is the class of `iou`.

    With a `cell` (ground-truth class, run's class), only photos that contain such pixels, by their share of the photo,
    largest first.
    """
    if cell:
        share = ranking.cell_share(evaluation.counts, cell)
        return ranking.rank(share, -share, np.flatnonzero(share > 0))
    key = f"iou:{name}" if grade == "iou" else SORT_MEASURES[grade]
    return ranking.rank(
        evaluation.measures[key].per_image()
        if key in evaluation.measures
        else np.full(evaluation.counts.images, np.nan)
    )


def category_shares_at(evaluation: Evaluation, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return, from the counts, the share of each category of `evaluation.error_map`: shape (len(rows), categories)."""
    counts = evaluation.counts.take(rows)
    index_in_run = class_lookup(counts.classes_a, counts.classes_b)
    table = difference.category_table(counts.classes_b, counts.classes_b)
    return ranking.category_shares(counts, table[index_in_run[counts.a], counts.b])
