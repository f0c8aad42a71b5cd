"""Statistics of a comparison: small frames and figures for a pair of runs or for all runs, and photo rankings.

Takes a `Comparison` of the selected photos and returns the data of charts and tables, with n and intervals. Only the
measures on display get intervals, since those are the most expensive part.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.queries import ranking
from dashboard.queries.ranking import Order
from seglib.classes import BACKGROUND
from seglib.evaluation import evaluation
from seglib.evaluation.comparison import Comparison
from seglib.masks import difference
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Figure
from seglib.metrics.measures import class_shares
from seglib.store import ground_truth
from seglib.store.store import Store

SHOWN = ("pixel_agreement", "foreground_agreement")
MOST_IOUS, MOST_AREAS = 12, 7
"""Maximum number of classes with an interval."""

MOST_POINTS = 400
"""Maximum number of photos drawn as points; above it, photos are binned into squares."""

SQUARES = 25
"""Squares along each side of a chart of shares."""

_PER_PHOTO = {"agreement": "pixel_agreement", "foreground": "foreground_agreement"}
_PER_CLASS = {"iou": "iou", "area": "area_difference"}


@dataclass(frozen=True)
class Pair:
    """Two runs over the selected photos."""

    photos: int
    figures: Mapping[str, Figure]
    """`SHOWN`, `iou:<class>` for the first `MOST_IOUS` of `classes`, `area_difference:<class>` for fewer of them."""
    classes: pd.DataFrame
    """One row per class known to both runs and predicted by at least one, most pixels first.

    Columns: share_a, share_b (over all pixels), photos (in which at least one run predicts it).
    """


def pair(found: Comparison, a: str, b: str) -> Pair:
    counts, measures = found.counts[a, b], found.measures[a, b]
    matrix = counts.matrix()
    pixels_a = dict(zip(counts.classes_a, matrix.sum(1), strict=True))
    pixels_b = dict(zip(counts.classes_b, matrix.sum(0), strict=True))
    every = max(1, int(counts.pixels.sum()))
    there = [name for name in counts.common if pixels_a[name] + pixels_b[name]]
    classes = pd.DataFrame(
        {
            "share_a": [pixels_a[name] / every for name in there],
            "share_b": [pixels_b[name] / every for name in there],
            "photos": [int((~np.isnan(measures[f"iou:{name}"].each())).sum()) for name in there],
        },
        pd.Index(there, dtype="str"),
    )
    order = np.argsort(-(classes["share_a"] + classes["share_b"]).to_numpy(), kind="stable")
    classes = classes.iloc[order]
    wanted = [*SHOWN, *(f"iou:{name}" for name in classes.index[:MOST_IOUS])]
    wanted += [f"area_difference:{name}" for name in classes.index[:MOST_AREAS]]
    return Pair(len(found.files), bootstrap.figures({name: measures[name] for name in wanted}), classes)


def main_classes(shown: Pair, most: int) -> list[str]:
    """Return the classes with the most pixels in the two runs, without background."""
    return [str(name) for name in shown.classes.index if name != BACKGROUND][:most]


@dataclass(frozen=True)
class Flips:
    pixels: pd.DataFrame
    """int64 pixel counts: A's class in rows, B's class in columns."""
    every: int
    """All pixels, including those outside the rows and columns shown."""
    left_out: int
    """Number of classes that have pixels but no row and column."""


def flips(found: Comparison, a: str, b: str, most: int) -> Flips:
    """Return the flips between the classes with the most pixels in A or B, background first."""
    pixels = found.flips(a, b)
    in_a, in_b = pixels.sum(axis=1), pixels.sum(axis=0)
    size = in_a.add(in_b, fill_value=0)
    there = [str(name) for name in size.sort_values(ascending=False, kind="stable").index if size[name]]
    kept = sorted(there[:most], key=lambda name: name != BACKGROUND)
    rows, columns = ([name for name in kept if name in side.index] for side in (in_a, in_b))
    return Flips(pixels.loc[rows, columns], int(found.counts[a, b].pixels.sum()), len(there) - len(kept))


def shares(found: Comparison, a: str, b: str, name: str) -> pd.DataFrame:
    """Return a class's share in both runs, over the photos where at least one run predicts it.

    One row per photo (path, image_id, x, y), or with more than `MOST_POINTS` photos one per square (square: its number,
    x_low, x_high, y_low, y_high, count).
    """
    x, y = class_shares(found.counts[a, b], name)
    there = (x > 0) | (y > 0)
    if there.sum() <= MOST_POINTS:
        files = found.files.loc[there, ["path", "image_id"]]
        return files.assign(x=x[there], y=y[there]).reset_index(drop=True)
    number = np.bincount(_square(x[there], y[there]), minlength=SQUARES**2)
    filled = np.flatnonzero(number)
    edges = np.linspace(0, 1, SQUARES + 1)
    column, row = filled // SQUARES, filled % SQUARES
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


def _square(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    column, row = (np.minimum((share * SQUARES).astype(np.int64), SQUARES - 1) for share in (x, y))
    return column * SQUARES + row


def inside(found: Comparison, a: str, b: str, name: str, squares: Collection[int]) -> NDArray[np.intp]:
    """Return the rows of the photos that `shares` counts in these squares."""
    x, y = class_shares(found.counts[a, b], name)
    return np.flatnonzero(((x > 0) | (y > 0)) & np.isin(_square(x, y), list(squares)))


def pairwise(found: Comparison, measure: str = "pixel_agreement") -> tuple[pd.DataFrame, Figure]:
    """Return a measure of every run against every other over all pixels, and the share of pixels on which all agree."""
    return found.matrix(measure), found.consensus_figure()


def with_reference(found: Comparison, reference: str) -> dict[str, Figure]:
    """Return each other run -> its pixel agreement with `reference`; all runs use the same resamples."""
    pairs = {
        a if b == reference else b: measures["pixel_agreement"]
        for (a, b), measures in found.measures.items()
        if reference in (a, b)
    }
    return bootstrap.figures(pairs)


@dataclass(frozen=True)
class Scores:
    """mIoU against ground truth."""

    truth: str
    photos: int
    """Number of selected photos with a ground-truth mask in every run."""
    miou: Mapping[str, Figure]
    """Run -> mIoU over all pixels, with its interval."""


def scores(store: Store, runs: Sequence[str], files: pd.DataFrame) -> Scores | None:
    """Score the runs against the ground truth that covers most of these files; None if there is none."""
    best: Scores | None = None
    for about in ground_truth.all_truths(store):
        found = [evaluation.evaluation(store, about, run, files=files) for run in runs]
        photos = min(len(one.files) for one in found)
        if photos and len({len(one.files) for one in found}) == 1 and (best is None or photos > best.photos):
            miou = bootstrap.figures({one.run.run: one.measures["miou"] for one in found})
            best = Scores(about.name, photos, miou)
    return best


def costliest(costs: pd.DataFrame, column: str) -> str | None:
    """Return the most expensive run; None if a cost is unknown or all costs are equal."""
    values = costs[column].astype("float64")
    if values.isna().any() or values.nunique() < 2:
        return None
    return str(costs["run"].iloc[int(values.to_numpy().argmax())])


def order(found: Comparison, a: str, b: str, measure: str, *, name: str, flip: Sequence[str]) -> Order:
    """Rank photos by one of `state.DISAGREEMENTS`, the most disagreeing first, undefined values last.

    `name` is the class of `iou` and `area`. With a `flip`, only photos that contain such pixels are ranked.
    """
    counts, measures = found.counts[a, b], found.measures[a, b]
    share = ranking.cell_share(counts, flip)
    kept = np.flatnonzero(share > 0) if len(flip) else None
    key = f"{_PER_CLASS[measure]}:{name}" if measure in _PER_CLASS else _PER_PHOTO.get(measure, "")
    if measure == "flip" and len(flip):
        return ranking.ranked(share, -share, kept)
    values = measures[key].each() if key in measures else np.full(counts.images, np.nan)
    return ranking.ranked(values, -np.abs(values) if measure == "area" else values, kept)


def parts_of(found: Comparison, a: str, b: str, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return, from the counts, the share of each category of `masks.difference`: shape (len(at), categories)."""
    counts = found.counts[a, b].taken(at)
    table = difference.category_table(counts.classes_a, counts.classes_b)
    return ranking.category_shares(counts, table[counts.a, counts.b])
