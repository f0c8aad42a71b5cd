"""Statistics of a comparison: small frames and figures for a pair of runs or for all runs, and photo rankings.

Takes a `Comparison` of the selected photos and returns the data of charts and tables, with n and intervals. Only the
measures on display get intervals, since those are the most expensive part.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.answers import comparison as answers
from dashboard.answers.comparison import Agreement
from dashboard.charts.class_choice import background_first, largest_classes, side_pixels
from dashboard.queries import ranking
from dashboard.queries.ranking import ImageOrder
from seglib.classes import BACKGROUND
from seglib.evaluation import evaluation
from seglib.evaluation.comparison import Comparison
from seglib.masks import difference
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.measures import Measure, class_shares
from seglib.store import ground_truth
from seglib.store.store import Store

SUMMARY_MEASURES = ("pixel_agreement", "foreground_agreement")
MAX_IOU_CLASSES, MAX_AREA_CLASSES = 12, 7
"""Maximum number of classes with an interval."""

MAX_POINTS = 400
"""Maximum number of photos drawn as points; above it, photos are binned into squares."""

SQUARES_PER_SIDE = 25
"""Squares along each side of a chart of shares."""

_PHOTO_MEASURES = {"agreement": "pixel_agreement", "foreground": "foreground_agreement"}
_CLASS_MEASURES = {"iou": "iou", "area": "area_difference"}


@dataclass(frozen=True)
class PairSummary:
    """Two runs over the selected photos."""

    photos: int
    figures: Mapping[str, Estimate]
    """`SUMMARY_MEASURES`, `iou:<class>` for the first `MAX_IOU_CLASSES` of `classes`, `area_difference:<class>` for
    fewer of them.
    """
    classes: pd.DataFrame
    """One row per class known to both runs and predicted by at least one, most pixels first.

    Columns: share_a, share_b (over all pixels), photos (in which at least one run predicts it).
    """


def class_shares_of_pair(comparison: Comparison, a: str, b: str) -> pd.DataFrame:
    """Return one row per class known to both runs and predicted by at least one, most pixels first.

    Columns: share_a, share_b (over all pixels).
    """
    counts = comparison.counts[a, b]
    pixels_a, pixels_b = side_pixels(counts)
    every = max(1, int(counts.pixels.sum()))
    present = [name for name in counts.common_classes if pixels_a[name] + pixels_b[name]]
    shares = [[pixels[name] / every for name in present] for pixels in (pixels_a, pixels_b)]
    classes = pd.DataFrame(dict(zip(("share_a", "share_b"), shares, strict=True)), pd.Index(present, dtype="str"))
    return classes.iloc[np.argsort(-(classes["share_a"] + classes["share_b"]).to_numpy(), kind="stable")]


def summarize_pair(comparison: Comparison, a: str, b: str) -> PairSummary:
    classes, measures = class_shares_of_pair(comparison, a, b), comparison.measures[a, b]
    photos = [int((~np.isnan(measures[f"iou:{name}"].per_image())).sum()) for name in classes.index]
    wanted = [*SUMMARY_MEASURES, *(f"iou:{name}" for name in classes.index[:MAX_IOU_CLASSES])]
    wanted += [f"area_difference:{name}" for name in classes.index[:MAX_AREA_CLASSES]]
    figures = bootstrap.estimate({name: measures[name] for name in wanted})
    return PairSummary(len(comparison.files), figures, classes.assign(photos=photos))


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What the page begins with."""

    agreement: Agreement
    details: Mapping[str, Estimate]
    """Of two runs alone: `SUMMARY_MEASURES` and `iou:<class>` for the largest classes; empty for more runs."""
    areas: Mapping[str, Mapping[str, float | None]]
    """Class -> run -> its share of all pixels, the largest classes first, without background; None if unknown to it."""


def headline(comparison: Comparison, a: str, b: str, limit: int) -> Headline:
    """Return the figures of all runs, and of at most `limit` classes, from one bootstrap."""
    wanted: dict[Hashable, Measure] = {pair: named["pixel_agreement"] for pair, named in comparison.measures.items()}
    names = []
    if len(comparison.runs) == 2:
        classes = class_shares_of_pair(comparison, a, b).index[: limit + 1]
        names = [*SUMMARY_MEASURES, *(f"iou:{name}" for name in classes if name != BACKGROUND)][: limit + 2]
        wanted |= {name: comparison.measures[a, b][name] for name in names}
    each = bootstrap.estimate(wanted | {"all": comparison.consensus})
    agreement = answers.judge(comparison, a, b, {pair: each[pair] for pair in comparison.measures}, each["all"])
    return Headline(agreement=agreement, details={name: each[name] for name in names}, areas=_areas(comparison, limit))


def _areas(comparison: Comparison, limit: int) -> dict[str, dict[str, float | None]]:
    shares: dict[str, dict[str, float]] = {}
    for pair, counts in comparison.counts.items():
        every = max(1, int(counts.pixels.sum()))
        for run, pixels in zip(pair, side_pixels(counts), strict=True):
            shares.setdefault(run, {name: number / every for name, number in pixels.items()})
    largest: dict[str, float] = {}
    for of_run in shares.values():
        for name, share in of_run.items():
            largest[name] = max(largest.get(name, 0.0), share)
    names = [name for name in largest_classes(largest) if name != BACKGROUND][:limit]
    return {name: {run.run: shares[run.run].get(name) for run in comparison.runs} for name in names}


def main_classes(classes: pd.DataFrame, limit: int) -> list[str]:
    """Return the classes of `class_shares_of_pair` with the most pixels, without background."""
    return [str(name) for name in classes.index if name != BACKGROUND][:limit]


@dataclass(frozen=True, kw_only=True)
class Flips:
    pixels: pd.DataFrame
    """int64 pixel counts of classes that both runs know: A's class in rows, B's in columns."""
    row_pixels: pd.Series
    """Pixels of each row's class in A, including those in columns not shown."""
    total_pixels: int
    """All pixels compared, including those outside the rows and columns shown."""
    left_out: int
    """Number of classes that have pixels but no row and column."""


def flips(comparison: Comparison, a: str, b: str, limit: int) -> Flips:
    """Return the flips between the classes with the most pixels in A or B, background first.

    Pixels that one run gives to a class that the other does not know are not compared, as in all measures.
    """
    names = list(comparison.counts[a, b].common_classes)
    pixels = comparison.flips(a, b).loc[names, names]
    present = largest_classes(pixels.sum(axis=1) + pixels.sum(axis=0))
    largest = background_first(present[:limit])
    return Flips(
        pixels=pixels.loc[largest, largest],
        row_pixels=pixels.loc[largest].sum(axis=1),
        total_pixels=int(pixels.to_numpy().sum()),
        left_out=len(present) - len(largest),
    )


def shares(comparison: Comparison, a: str, b: str, name: str) -> pd.DataFrame:
    """Return a class's share in both runs, over the photos where at least one run predicts it.

    One row per photo (path, image_id, x, y), or with more than `MAX_POINTS` photos one per square (square: its number,
    x_low, x_high, y_low, y_high, count).
    """
    x, y = class_shares(comparison.counts[a, b], name)
    has_class = (x > 0) | (y > 0)
    if has_class.sum() <= MAX_POINTS:
        files = comparison.files.loc[has_class, ["path", "image_id"]]
        return files.assign(x=x[has_class], y=y[has_class]).reset_index(drop=True)
    number = np.bincount(_square_index(x[has_class], y[has_class]), minlength=SQUARES_PER_SIDE**2)
    filled = np.flatnonzero(number)
    edges = np.linspace(0, 1, SQUARES_PER_SIDE + 1)
    column, row = filled // SQUARES_PER_SIDE, filled % SQUARES_PER_SIDE
    return pd.DataFrame(
        {
            "square": filled,
            "x_low": edges[column],
            "x_high": edges[column + 1],
            "y_low": edges[row],
            "y_high": edges[row + 1],
            "count": number[filled],
        }
    )


def _square_index(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    column, row = (np.minimum((share * SQUARES_PER_SIDE).astype(np.int64), SQUARES_PER_SIDE - 1) for share in (x, y))
    return column * SQUARES_PER_SIDE + row


def rows_in_squares(comparison: Comparison, a: str, b: str, name: str, squares: Collection[int]) -> NDArray[np.intp]:
    """Return the rows of the photos that `shares` counts in these squares."""
    x, y = class_shares(comparison.counts[a, b], name)
    return np.flatnonzero(((x > 0) | (y > 0)) & np.isin(_square_index(x, y), list(squares)))


def pairwise_matrix(comparison: Comparison, measure: str = "pixel_agreement") -> tuple[pd.DataFrame, Estimate]:
    """Return a measure of every run against every other over all pixels, and the share of pixels on which all agree."""
    return comparison.matrix(measure), comparison.consensus_figure()


def agreement_with(comparison: Comparison, reference: str) -> dict[str, Estimate]:
    """Return each other run -> its pixel agreement with `reference`; all runs use the same resamples."""
    pairs = {
        a if b == reference else b: measures["pixel_agreement"]
        for (a, b), measures in comparison.measures.items()
        if reference in (a, b)
    }
    return bootstrap.estimate(pairs)


@dataclass(frozen=True)
class TruthScores:
    """mIoU against ground truth."""

    truth: str
    photos: int
    """Number of selected photos with a ground-truth mask in every run."""
    miou: Mapping[str, Estimate]
    """Run -> mIoU over all pixels, with its interval."""


def scores(store: Store, runs: Sequence[str], files: pd.DataFrame) -> TruthScores | None:
    """Score the runs against the ground truth that covers most of these files; None if there is none."""
    best: TruthScores | None = None
    for truth in ground_truth.list_truths(store):
        evaluations = [evaluation.load_evaluation(store, truth, run, files=files) for run in runs]
        photos = min(len(one.files) for one in evaluations)
        if photos and len({len(one.files) for one in evaluations}) == 1 and (best is None or photos > best.photos):
            miou = bootstrap.estimate({one.run.run: one.measures["miou"] for one in evaluations})
            best = TruthScores(truth.name, photos, miou)
    return best


def costliest(costs: pd.DataFrame, column: str) -> str | None:
    """Return the most expensive run; None if a cost is unknown or all costs are equal."""
    values = costs[column].astype("float64")
    if values.isna().any() or values.nunique() < 2:
        return None
    return str(costs["run"].iloc[int(values.to_numpy().argmax())])


def sort_by_disagreement(
    comparison: Comparison, a: str, b: str, measure: str, *, name: str, flip: Sequence[str]
) -> ImageOrder:
    """Rank photos by one of `state.COMPARE_SORTS`, the most disagreeing first, undefined values last.

    `name` is the class of `iou` and `area`. With a `flip`, only photos that contain such pixels are ranked.
    """
    counts, measures = comparison.counts[a, b], comparison.measures[a, b]
    share = ranking.cell_share(counts, flip)
    rows = np.flatnonzero(share > 0) if len(flip) else None
    key = f"{_CLASS_MEASURES[measure]}:{name}" if measure in _CLASS_MEASURES else _PHOTO_MEASURES.get(measure, "")
    if measure == "flip" and len(flip):
        return ranking.rank(share, -share, rows)
    values = measures[key].per_image() if key in measures else np.full(counts.images, np.nan)
    return ranking.rank(values, -np.abs(values) if measure == "area" else values, rows)


def category_shares_at(comparison: Comparison, a: str, b: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return, from the counts, the share of each category of `masks.difference`: shape (len(rows), categories)."""
    counts = comparison.counts[a, b].take(rows)
    table = difference.category_table(counts.classes_a, counts.classes_b)
    return ranking.category_shares(counts, table[counts.a, counts.b])
