"""Bootstrap 95 % confidence intervals over images for measures.

`estimate` turns `Measure`s of the same images into `Estimate`s: over all pixels and as a mean over images.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from seglib.metrics.confusion import Column
from seglib.metrics.measures import Measure, ratio

Interval = tuple[float, float]
Key = TypeVar("Key", bound=Hashable)

RESAMPLES = 1000

_MAX_UNITS = 10_000  # maximum number of images resampled individually
_GROUPS = 2_000  # groups resampled instead if there are more images than that
_REPLICATES_AT_ONCE = 50
_RESAMPLES_PER_PAIR = 400


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measure over all pixels and as a mean over images, each with a 95 % interval over images."""

    value: float | None
    """Value over all pixels."""
    interval: Interval | None
    mean: float | None
    """Mean over the images where it is defined."""
    mean_interval: Interval | None
    n: int
    """Number of images where it is defined."""


def estimate(measures: Mapping[Key, Measure], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[Key, Estimate]:
    """Add 95 % intervals to measures by the percentile bootstrap over images (Efron & Tibshirani 1993, ch. 13).

    The bootstrap is paired: all measures use the same resamples, and both masks of an image are drawn together. More
    than 10,000 images are split at random into 2,000 groups, which are resampled instead. A measure defined for fewer
    than two images has no interval.
    """
    figures = {name: (measure.overall(), *measure.mean()) for name, measure in measures.items()}
    spread = _bootstrap_intervals(measures, seed, resamples) if resamples else {}
    return {
        name: Estimate(
            value=value,
            interval=spread[name][0] if n > 1 and spread else None,
            mean=mean,
            mean_interval=spread[name][1] if n > 1 and spread else None,
            n=n,
        )
        for name, (value, mean, n) in figures.items()
    }


def estimate_difference(
    one: Measure, other: Measure, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float | None, Interval | None]:
    """Return `other` minus `one` over all pixels of the same images, with its paired 95 % interval."""
    difference = estimate_differences({0: one, 1: other}, seed=seed, resamples=resamples)[0, 1]
    return difference.value, difference.interval


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A measure minus another over all pixels of the same images."""

    value: float | None
    interval: Interval | None
    """Paired 95 % interval of this pair alone."""
    joint_interval: Interval | None
    """Wider: all pairs estimated together hold at 95 %. The same for a single pair."""


def estimate_differences(
    measures: Mapping[Key, Measure], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[tuple[Key, Key], Difference]:
    """Return (a, b) -> `b` minus `a` for every pair of measures of the same images, in the order given.

    All pairs use the same resamples. The joint intervals are adjusted by Bonferroni's inequality (Dunn 1961, Multiple
    Comparisons among Means, J. Am. Stat. Assoc. 56): for m pairs each has the level 1 - 0.05 / m. Since that needs the
    far tails, they are taken from at least 400 resamples per pair.
    """
    pairs = list(combinations(measures, 2))
    values = {key: measure.overall() for key, measure in measures.items()}
    images = len(next(iter(measures.values())).columns[0]) if measures else 0
    spread: dict[Key, Column] = {}
    if resamples and images > 1 and pairs:
        needed = resamples if len(pairs) == 1 else max(resamples, _RESAMPLES_PER_PAIR * len(pairs))
        spread = _replicates_overall(measures, seed, needed)

    def difference(a: Key, b: Key) -> Difference:
        one, other = values[a], values[b]
        if one is None or other is None:
            return Difference(value=None, interval=None, joint_interval=None)
        if not spread:
            return Difference(value=other - one, interval=None, joint_interval=None)
        change = spread[b] - spread[a]
        return Difference(
            value=other - one,
            interval=percentile_interval(change[:resamples]),
            joint_interval=percentile_interval(change, 1 - 0.05 / len(pairs)),
        )

    return {(a, b): difference(a, b) for a, b in pairs}


def _replicates_overall(measures: Mapping[Key, Measure], seed: int, resamples: int) -> dict[Key, Column]:
    """Return each measure's value over all pixels in every resample, (resamples,)."""
    chunks = list(_replicates(list(measures.values()), seed, resamples))
    return {key: np.concatenate([chunk[2 * i] for chunk in chunks]) for i, key in enumerate(measures)}


def _bootstrap_intervals(
    measures: Mapping[Key, Measure], seed: int, resamples: int
) -> dict[Key, tuple[Interval | None, Interval | None]]:
    replicates = [
        np.concatenate(parts) for parts in zip(*_replicates(list(measures.values()), seed, resamples), strict=True)
    ]
    return {
        name: (percentile_interval(replicates[2 * i]), percentile_interval(replicates[2 * i + 1]))
        for i, name in enumerate(measures)
    }


def _replicates(measures: Sequence[Measure], seed: int, resamples: int) -> Iterator[list[Column]]:
    """Yield chunks of r resamples: per measure its value over all pixels and its mean over images, (r,) each."""
    columns: list[Column] = []
    place: dict[int, int] = {}

    def column_index(column: Column) -> int:
        if id(column) not in place:
            place[id(column)] = len(columns)
            columns.append(column)
        return place[id(column)]

    plans = []
    for measure in measures:
        each = measure.per_image()
        defined = ~np.isnan(each)
        plans.append(
            (
                measure,
                [column_index(c) for c in measure.columns],
                column_index(np.where(defined, each, 0)),
                column_index(defined * 1.0),
            )
        )
    grouped = _grouper(len(columns[0]) if columns else 0, seed)
    sums = np.stack([grouped(column) for column in columns], 1) if columns else np.zeros((0, 0))
    for weights in draw_weights(len(sums), seed, resamples):
        totals = (weights @ sums).T  # (columns, r)
        chunk = []
        for measure, inputs, values, count in plans:
            chunk += [measure.formula(*totals[inputs]), ratio(totals[values], totals[count])]
        yield chunk


def _grouper(images: int, seed: int) -> Callable[[Column], Column]:
    """Return a function from a column (images,) to the units to resample.

    Units are single images or, above `_MAX_UNITS` images, sums over random groups of equal size, the same for every
    column.
    """
    if images <= _MAX_UNITS:
        return lambda column: column
    order = np.random.default_rng([seed, 1]).permutation(images)
    starts = np.linspace(0, images, _GROUPS, endpoint=False).astype(np.int64)
    return lambda column: np.add.reduceat(column[order], starts)


def draw_weights(
    units: int, seed: int, resamples: int, at_once: int = _REPLICATES_AT_ONCE
) -> Iterator[NDArray[np.float64]]:
    """Yield (r, units) for at most `at_once` resamples: how often each unit is drawn in each; a row sums to `units`."""
    draw = np.random.default_rng(seed)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        indices = draw.integers(0, max(units, 1), (rows, units)) + units * np.arange(rows)[:, None]
        yield np.bincount(indices.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


def percentile_interval(replicates: Column, level: float = 0.95) -> Interval | None:
    """Return the interval that holds the middle `level` of the values in the resamples; None if none is defined."""
    replicates = replicates[~np.isnan(replicates)]
    if not len(replicates):
        return None
    tail = 50 * (1 - level)
    low, high = np.percentile(replicates, (tail, 100 - tail))
    return float(low), float(high)


def flatten_estimates(
    estimates: Mapping[str, Estimate], *, split_intervals: bool = False
) -> dict[str, float | int | list[float] | None]:
    """Flatten figures into one dictionary for JSON or tables.

    Keys: `<name>` (over all pixels), `<name>_mean` (over images), `<name>_n`, and the intervals `<name>_interval` and
    `<name>_mean_interval` as [low, high]. With `split_intervals`, intervals become `<name>_low`, `<name>_high` and so
    on.
    """
    flat: dict[str, float | int | list[float] | None] = {}
    for name, figure in estimates.items():
        for key, value, interval in (
            (name, figure.value, figure.interval),
            (f"{name}_mean", figure.mean, figure.mean_interval),
        ):
            flat[key] = value
            if split_intervals:
                flat[f"{key}_low"], flat[f"{key}_high"] = interval or (None, None)
            else:
                flat[f"{key}_interval"] = list(interval) if interval else None
        flat[f"{name}_n"] = figure.n
    return flat
