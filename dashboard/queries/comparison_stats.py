"""What a page asks of a comparison: small frames and figures of a pair of runs, or of all of them.

In: a `Comparison` of the selected photos. Out: what charts and tables draw, with its n and its intervals; and an order
of photos. Only measures that are shown get intervals, since these cost most. Knows nothing of pages or caches.
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
"""Classes with an interval."""

MOST_POINTS = 400
"""Photos that are drawn one by one; more are counted in squares."""

SQUARES = 25
"""Squares along each side of a chart of shares."""

_PER_PHOTO = {"agreement": "pixel_agreement", "foreground": "foreground_agreement"}
_PER_CLASS = {"iou": "iou", "area": "area_difference"}


@dataclass(frozen=True)
class Pair:
    """Two runs over the selected photos."""

    photos: int
    figures: Mapping[str, Figure]
    """`SHOWN`, `iou:<class>` of the first `MOST_IOUS` of `classes`, `area_difference:<class>` of fewer of them."""
    classes: pd.DataFrame
    """Per class that one of the two names somewhere and both know, most pixels first: share_a, share_b (over all
    pixels), photos (in which at least one names it)."""


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
    """The classes that the two see most of, background aside."""
    return [str(name) for name in shown.classes.index if name != BACKGROUND][:most]


@dataclass(frozen=True)
class Flips:
    pixels: pd.DataFrame
    """int64: what A calls by the row's class and B by the column's."""
    every: int
    """All pixels, those included that are in no row or column here."""
    left_out: int
    """Classes with pixels that have no row and column."""


def flips(found: Comparison, a: str, b: str, most: int) -> Flips:
    """The classes with most pixels in A or B, background first."""
    pixels = found.flips(a, b)
    in_a, in_b = pixels.sum(axis=1), pixels.sum(axis=0)
    size = in_a.add(in_b, fill_value=0)
    there = [str(name) for name in size.sort_values(ascending=False, kind="stable").index if size[name]]
    kept = sorted(there[:most], key=lambda name: name != BACKGROUND)
    rows, columns = ([name for name in kept if name in side.index] for side in (in_a, in_b))
    return Flips(pixels.loc[rows, columns], int(found.counts[a, b].pixels.sum()), len(there) - len(kept))


def shares(found: Comparison, a: str, b: str, name: str) -> pd.DataFrame:
    """Share of a class in both runs, of photos that one of them has it in: one row per photo (path, image_id, x, y), or
    with more than `MOST_POINTS` of them one per square (square: its number, x_low, x_high, y_low, y_high, count).
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
    """Rows of the photos that `shares` counts in these squares."""
    x, y = class_shares(found.counts[a, b], name)
    return np.flatnonzero(((x > 0) | (y > 0)) & np.isin(_square(x, y), list(squares)))


def pairwise(found: Comparison, measure: str = "pixel_agreement") -> tuple[pd.DataFrame, Figure]:
    """A measure of every run with every other, over all pixels; and the share of pixels on which all agree."""
    return found.matrix(measure), found.consensus_figure()


def with_reference(found: Comparison, reference: str) -> dict[str, Figure]:
    """Every other run -> its pixel agreement with this one; all see the same resamples."""
    pairs = {
        a if b == reference else b: measures["pixel_agreement"]
        for (a, b), measures in found.measures.items()
        if reference in (a, b)
    }
    return bootstrap.figures(pairs)


@dataclass(frozen=True)
class Scores:
    """mIoU against masks that people drew."""

    truth: str
    photos: int
    """Selected photos that have a mask of the truth in every run."""
    miou: Mapping[str, Figure]
    """Run -> over all pixels, with its interval."""


def scores(store: Store, runs: Sequence[str], files: pd.DataFrame) -> Scores | None:
    """By the truth that most of these files have a mask of; None without any."""
    best: Scores | None = None
    for about in ground_truth.all_truths(store):
        found = [evaluation.evaluation(store, about, run, files=files) for run in runs]
        photos = min(len(one.files) for one in found)
        if photos and len({len(one.files) for one in found}) == 1 and (best is None or photos > best.photos):
            miou = bootstrap.figures({one.run.run: one.measures["miou"] for one in found})
            best = Scores(about.name, photos, miou)
    return best


def costliest(costs: pd.DataFrame, column: str) -> str | None:
    """The run with the largest cost; None if not all are known, or all cost the same."""
    values = costs[column].astype("float64")
    if values.isna().any() or values.nunique() < 2:
        return None
    return str(costs["run"].iloc[int(values.to_numpy().argmax())])


def order(found: Comparison, a: str, b: str, measure: str, *, name: str, flip: Sequence[str]) -> Order:
    """By one of `state.DISAGREEMENTS`, the most disagreeing first, undefined ones last; `name` is the class of `iou`
    and `area`. With a `flip` only the photos that have such pixels.
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
    """(len(at), categories): the share of each category of `masks.difference` in these photos, from the counts."""
    counts = found.counts[a, b].taken(at)
    table = difference.category_table(counts.classes_a, counts.classes_b)
    return ranking.category_shares(counts, table[counts.a, counts.b])
