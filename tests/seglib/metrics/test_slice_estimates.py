"""Measures of slices: against plain loops and a plain permutation test, and that random slices do not differ."""

import numpy as np
import pytest

from seglib.metrics import bootstrap, slice_estimates
from seglib.metrics.confusion import JointCounts
from seglib.metrics.measures import Measure, accuracy_measures, ratio
from seglib.metrics.slice_estimates import MIN_IMAGES, estimate_slices

CLASSES = ("background", "cat", "dog", "rare")


def masks(n: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truths of 6 x 6 pixels and predictions that are wrong in some; every class but the first is in few of them."""
    draw, pairs = np.random.default_rng(seed), []
    for _ in range(n):
        truth = np.zeros((6, 6), np.uint8)
        truth[: draw.integers(0, 6)] = draw.choice([1, 2, 3], p=[0.48, 0.48, 0.04])
        wrong = draw.random((6, 6)) < draw.beta(1, 8)
        pairs.append((truth, np.where(wrong, draw.integers(0, 4, (6, 6)), truth).astype(np.uint8)))
    return pairs


def measures(pairs) -> dict[str, Measure]:
    found = accuracy_measures(JointCounts.of_masks(pairs, CLASSES, CLASSES))
    return {name: found[name] for name in ("miou", "pixel_accuracy")}


def miou(pairs) -> float:
    truth, prediction = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    both = [((truth == c) & (prediction == c)).sum() for c in range(4)]
    either = [((truth == c) | (prediction == c)).sum() for c in range(4)]
    return float(np.mean([b / e for b, e in zip(both, either, strict=True) if e]))


def test_values_are_those_of_the_masks_of_the_slice_and_of_all_others():
    pairs = masks(60)
    slices = [np.arange(0, 20), np.arange(20, 60), np.arange(0, 60, 3)]  # the last one overlaps both
    for rows, found in zip(slices, estimate_slices(measures(pairs), slices, resamples=50), strict=True):
        inside, outside = ([pairs[i] for i in range(60) if (i in rows) == side] for side in (True, False))
        one = found["miou"]
        assert one.figure.value == pytest.approx(miou(inside))
        assert one.figure.mean == pytest.approx(np.mean([miou([pair]) for pair in inside]))
        assert one.others == pytest.approx(miou(outside))
        assert one.figure.n == len(inside)
        assert found["pixel_accuracy"].figure.value == pytest.approx(np.mean([(a == b).mean() for a, b in inside]))


def test_the_interval_is_that_of_the_slice_alone():
    pairs = masks(200)
    rows = np.arange(0, 200, 2)
    (found,) = estimate_slices(measures(pairs), [rows], resamples=4000)
    alone = bootstrap.estimate(measures([pairs[i] for i in rows]), resamples=4000)
    for name in ("miou", "pixel_accuracy"):
        assert found[name].figure.interval == pytest.approx(alone[name].interval, abs=0.01)
        assert found[name].figure.mean_interval == pytest.approx(alone[name].mean_interval, abs=0.01)


def test_the_random_range_is_that_of_a_plain_permutation_test():
    pairs, draw = masks(80), np.random.default_rng(9)
    (found,) = estimate_slices(measures(pairs), [np.arange(20)], resamples=3000)
    values = [miou([pairs[i] for i in draw.permutation(80)[:20]]) for _ in range(1500)]
    assert found["miou"].random_range == pytest.approx(np.percentile(values, (2.5, 97.5)), abs=0.02)


@pytest.mark.parametrize("max_units", [4_000, 0])
def test_random_slices_differ_no_more_often_than_promised(max_units, monkeypatch):
    monkeypatch.setattr(slice_estimates, "_MAX_UNITS", max_units)
    found = measures(masks(240))
    draw, wrong = np.random.default_rng(3), dict.fromkeys(found, 0)
    for trial in range(60):
        codes = draw.permutation(240) % 8
        estimates = estimate_slices(found, [np.flatnonzero(codes == i) for i in range(8)], seed=trial, resamples=200)
        for name in wrong:
            wrong[name] += any(one[name].differs for one in estimates)
    assert max(wrong.values()) <= 9  # 3 of 60 expected, more than 9 once in 1,000 times


def test_a_worse_slice_is_found_and_the_best_one_too():
    draw = np.random.default_rng(5)
    right = np.where(np.arange(300) < 30, 500.0, 800.0) + draw.normal(0, 60, 300)
    right[270:] += 100
    measure = {"m": Measure(ratio, (right, np.full(300, 1000.0)))}
    slices = [np.arange(start, start + 30) for start in range(0, 300, 30)]
    found = [one["m"] for one in estimate_slices(measure, slices)]
    assert [one.is_below for one in found] == [True, *[False] * 9]
    assert [one.is_above for one in found] == [*[False] * 9, True]
    assert [one.differs for one in found] == [True, *[False] * 8, True]


def test_groups_of_images_give_the_figures_of_images(monkeypatch):
    draw = np.random.default_rng(6)
    measure = {"m": Measure(ratio, (draw.random(3000) * 100, np.full(3000, 100.0)))}
    slices = [np.flatnonzero(np.arange(3000) % 7 == 0), np.arange(200), np.arange(1500)]
    whole = estimate_slices(measure, slices)
    for name, number in (("_MAX_UNITS", 100), ("_GROUPS", 500), ("_MIN_GROUPS", 100), ("_MIN_DRAWN_GROUPS", 20)):
        monkeypatch.setattr(slice_estimates, name, number)
    for one, other in zip(whole, estimate_slices(measure, slices), strict=True):
        assert other["m"].figure.value == pytest.approx(one["m"].figure.value)
        assert other["m"].figure.interval == pytest.approx(one["m"].figure.interval, abs=0.008)
        assert other["m"].random_range == pytest.approx(one["m"].random_range, abs=0.008)


def test_small_slices_have_neither_interval_nor_range():
    found = estimate_slices(measures(masks(30)), [np.arange(MIN_IMAGES - 1), np.arange(MIN_IMAGES - 1, 30)])
    small, large = (one["pixel_accuracy"] for one in found)
    assert (small.figure.interval, small.figure.mean_interval, small.random_range, small.differs) == (None,) * 3 + (
        False,
    )
    assert small.figure.value is not None
    assert large.figure.interval is not None
    assert large.random_range is None  # too few others


def test_what_is_undefined_is_none():
    nothing = {"m": Measure(ratio, (np.zeros(40), np.zeros(40)))}
    (found,) = estimate_slices(nothing, [np.arange(20)])
    assert (found["m"].figure.value, found["m"].others, found["m"].figure.n) == (None, None, 0)
    assert (found["m"].figure.interval, found["m"].random_range, found["m"].differs) == (None, None, False)
    (found,) = estimate_slices(measures(masks(20)), [np.arange(20)])
    assert found["miou"].others is None  # there are none
    assert found["miou"].random_range is None
    assert estimate_slices(measures(masks(20)), []) == []
    (found,) = estimate_slices(measures([]), [np.zeros(0, np.intp)])
    assert found["miou"].figure.value is None
    (found,) = estimate_slices(measures(masks(40)), [np.arange(20)], resamples=0)
    assert (found["miou"].figure.interval, found["miou"].random_range) == (None, None)


def test_images_that_are_all_alike_do_not_differ():
    perfect = {"m": Measure(ratio, (np.full(40, 7.0), np.full(40, 7.0)))}
    for one in estimate_slices(perfect, [np.arange(20), np.arange(20, 40)]):
        assert (one["m"].figure.value, one["m"].random_range, one["m"].differs) == (1.0, (1.0, 1.0), False)
