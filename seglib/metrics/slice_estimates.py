"""Measures of slices of the images: each with its interval, and its difference to all other images.

The bootstrap is that of `bootstrap.py`. All images are resampled together, so that slices may overlap, and the figures
of a slice and of the images outside of it come from the same resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.metrics.bootstrap import (
    RESAMPLES,
    RESAMPLES_PER_DIFFERENCE,
    Difference,
    Estimate,
    draw_weights,
    percentile_interval,
)
from seglib.metrics.confusion import Column
from seglib.metrics.measures import Measure, ratio

MIN_IMAGES = 10
"""Slices of fewer images have no interval, nor has the difference to fewer other images."""

_MAX_UNITS = 4_000  # maximum number of images resampled individually
_GROUPS = 2_000  # groups resampled instead if there are more images than that
_MIN_GROUPS = 100  # in each slice that has as many images
_CELLS_AT_ONCE = 1 << 21  # weights held at once

Rows = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class SliceEstimate:
    """A measure of one slice."""

    figure: Estimate
    difference: Difference
    """The slice minus all other images, over all pixels; the joint intervals of all slices hold together."""


def estimate_slices(
    measures: Mapping[str, Measure], slices: Sequence[Rows], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[dict[str, SliceEstimate]]:
    """Estimate each measure of each slice, with 95 % intervals by the percentile bootstrap over images.

    Args:
        measures: Measures of the same N images.
        slices: The rows of each slice's images, ascending, within 0..N-1.
        seed: Seed of the resamples.
        resamples: Number of resamples; 0 for no intervals. The joint intervals take at least 400 per difference.

    Returns:
        Per slice, the measures. The joint intervals of the differences are adjusted by Bonferroni's inequality for the
        number of slices that have one. Of two slices that are all images, the two differences are one.

    More than 4,000 images are split at random, within each slice, into about 2,000 groups, which are resampled instead.
    """
    plans, columns = _plan(measures)
    images = len(columns[0]) if columns else 0
    group_of_image = _group_images(slices, images, seed)
    sums = np.array([np.bincount(group_of_image, column) for column in columns], np.float64).T  # (groups, columns)
    units = [np.unique(group_of_image[rows]) for rows in slices]
    outside = [images - len(rows) for rows in slices]
    compared = [len(rows) >= MIN_IMAGES and rest >= MIN_IMAGES for rows, rest in zip(slices, outside, strict=True)]
    joint = 1 if len(slices) == 2 and sum(map(len, slices)) == images else max(1, sum(compared))
    needed = resamples if joint == 1 else max(resamples, RESAMPLES_PER_DIFFERENCE * joint)
    drawn = [place for place, rows in enumerate(slices) if resamples and len(rows) >= MIN_IMAGES]
    spread = _replicates(plans, sums, {place: units[place] for place in drawn}, seed, needed)
    whole = sums.sum(0)
    found = []
    for place, own_units in enumerate(units):
        own = sums[own_units].sum(0)
        found.append(
            {
                name: SliceEstimate(
                    figure=_figure(plan, own, spread.get((place, name)), resamples),
                    difference=_difference(
                        plan,
                        own,
                        whole - own,
                        spread.get((place, name)) if compared[place] else None,
                        resamples=resamples,
                        joint=joint,
                    ),
                )
                for name, plan in plans.items()
            }
        )
    return found


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A measure, and where its sums are."""

    measure: Measure
    inputs: list[int]
    values: int
    """The sum of its values of single images."""
    defined: int
    """The number of images where it is defined."""

    def overall(self, sums: NDArray[np.float64]) -> Column:
        """Value over all pixels for sums of shape (r, columns)."""
        return self.measure.formula(*sums.T[self.inputs])


@dataclass(frozen=True, kw_only=True)
class _Replicates:
    """A measure of one slice in every resample, (resamples,) each."""

    value: Column
    mean: Column
    gap: Column
    """The slice minus all other images."""


def _plan(measures: Mapping[str, Measure]) -> tuple[dict[str, _Plan], list[Column]]:
    """Return the plan of each measure, and the columns (N,) to sum, each array once."""
    columns: list[Column] = []
    place: dict[int, int] = {}

    def index(column: Column) -> int:
        if id(column) not in place:
            place[id(column)] = len(columns)
            columns.append(column)
        return place[id(column)]

    plans = {}
    for name, measure in measures.items():
        each = measure.per_image()
        defined = ~np.isnan(each)
        plans[name] = _Plan(
            measure=measure,
            inputs=[index(column) for column in measure.columns],
            values=index(np.where(defined, each, 0)),
            defined=index(defined * 1.0),
        )
    return plans, columns


def _group_images(slices: Sequence[Rows], images: int, seed: int) -> NDArray[np.intp]:
    """Return the group (N,) of each image; all images of a group are in the same slices."""
    if images <= _MAX_UNITS:
        return np.arange(images)
    stratum = np.zeros(images, np.int64)  # images that are in the same slices have the same number
    for rows in slices:
        stratum *= 2
        stratum[rows] += 1
        if stratum.max() >= 1 << 31:
            stratum = np.unique(stratum, return_inverse=True)[1]
    _, stratum, counts = np.unique(stratum, return_inverse=True, return_counts=True)
    groups = np.minimum(counts, np.maximum(_MIN_GROUPS, counts * _GROUPS // images))
    order = np.lexsort((np.random.default_rng([seed, 2]).permutation(images), stratum))
    rank = np.arange(images) - np.repeat(np.cumsum(counts) - counts, counts)
    group = np.empty(images, np.intp)
    group[order] = rank * np.repeat(groups, counts) // np.repeat(counts, counts) + np.repeat(
        np.cumsum(groups) - groups, counts
    )
    return group


def _replicates(
    plans: Mapping[str, _Plan], sums: NDArray[np.float64], units: Mapping[int, Rows], seed: int, resamples: int
) -> dict[tuple[int, str], _Replicates]:
    """Return (slice, measure) -> its values in every resample, for slices that consist of these units."""
    if not units:
        return {}
    chunks: dict[tuple[int, str], list[tuple[Column, Column, Column]]] = {
        (place, name): [] for place in units for name in plans
    }
    for weights in draw_weights(len(sums), seed, resamples, max(1, _CELLS_AT_ONCE // len(sums))):
        whole = weights @ sums  # (r, columns)
        for place, own_units in units.items():
            own = weights[:, own_units] @ sums[own_units]
            for name, plan in plans.items():
                value, mean = plan.overall(own), ratio(own[:, plan.values], own[:, plan.defined])
                chunks[place, name].append((value, mean, value - plan.overall(whole - own)))
    joined = {key: [np.concatenate(part) for part in zip(*of_key, strict=True)] for key, of_key in chunks.items()}
    return {key: _Replicates(value=value, mean=mean, gap=gap) for key, (value, mean, gap) in joined.items()}


def _figure(plan: _Plan, own: Column, spread: _Replicates | None, resamples: int) -> Estimate:
    mean, n = ratio(own[[plan.values]], own[[plan.defined]])[0], int(own[plan.defined])
    has_interval = spread is not None and n > 1
    return Estimate(
        value=_defined(plan.overall(own[None])[0]),
        interval=percentile_interval(spread.value[:resamples]) if spread and has_interval else None,
        mean=_defined(mean),
        mean_interval=percentile_interval(spread.mean[:resamples]) if spread and has_interval else None,
        n=n,
    )


def _difference(
    plan: _Plan, own: Column, rest: Column, spread: _Replicates | None, *, resamples: int, joint: int
) -> Difference:
    value = _defined(plan.overall(own[None])[0] - plan.overall(rest[None])[0])
    if value is None or spread is None:
        return Difference(value=value, interval=None, joint_interval=None)
    return Difference(
        value=value,
        interval=percentile_interval(spread.gap[:resamples]),
        joint_interval=percentile_interval(spread.gap, 1 - 0.05 / joint),
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
