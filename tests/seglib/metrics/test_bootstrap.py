"""Intervals of measures: their coverage, against a plain bootstrap, paired, by seed."""

import numpy as np
import pytest

from seglib.metrics import bootstrap
from seglib.metrics.measures import Measure, agreement_measures, ratio
from tests.seglib.metrics.small_masks import NOTHING, A, B, of


def test_intervals_hold_the_value_and_cover_as_promised():
    draw = np.random.default_rng(5)
    covered = 0
    for trial in range(40):
        shares = draw.beta(8, 2, 60)
        measure = Measure(ratio, (np.round(shares * 1000), np.full(60, 1000.0)))
        figure = bootstrap.estimate({"m": measure}, seed=trial, resamples=400)["m"]
        assert figure.interval == pytest.approx(figure.mean_interval)  # equal denominators: the reductions agree
        covered += figure.interval[0] <= 0.8 <= figure.interval[1]
    assert covered >= 34  # 38 of 40 expected


def test_intervals_are_those_of_a_plain_bootstrap():
    draw = np.random.default_rng(2)
    top, below = draw.integers(0, 50, 30).astype(float), draw.integers(50, 90, 30).astype(float)
    figure = bootstrap.estimate({"m": Measure(ratio, (top, below))}, resamples=4000)["m"]
    replicates = []
    for _ in range(4000):
        at = draw.integers(0, 30, 30)
        replicates.append(top[at].sum() / below[at].sum())
    assert figure.interval == pytest.approx(np.percentile(replicates, (2.5, 97.5)), abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    draw = np.random.default_rng(8)
    measures = {"m": Measure(ratio, (draw.random(50), np.ones(50)))}
    first, again, other = (bootstrap.estimate(measures, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_no_interval_without_two_images():
    figure = bootstrap.estimate(agreement_measures(of((A, B))))["pixel_agreement"]
    assert (figure.n, figure.interval, figure.mean_interval) == (1, None, None)
    figure = bootstrap.estimate(agreement_measures(of((A, B), (NOTHING, NOTHING))))["iou:cat"]
    assert (figure.n, figure.interval) == (1, None)


def test_a_difference_is_paired():
    draw = np.random.default_rng(4)
    hard = draw.beta(2, 2, 200) * 1000
    one = Measure(ratio, (hard, np.full(200, 1000.0)))
    other = Measure(ratio, (hard + 10, np.full(200, 1000.0)))
    value, interval = bootstrap.estimate_difference(one, other)
    assert value == pytest.approx(0.01)
    assert interval == pytest.approx((0.01, 0.01))  # whatever images are drawn, the other is better by 10 in 1000
    assert bootstrap.estimate_difference(one, other, resamples=0) == (value, None)
    wide = bootstrap.estimate({"m": one})["m"].interval
    assert wide[1] - wide[0] > 0.04


def test_groups_of_images_give_the_interval_of_images(monkeypatch):
    draw = np.random.default_rng(6)
    measure = Measure(ratio, (draw.random(4000) * 100, np.full(4000, 100.0)))
    whole = bootstrap.estimate({"m": measure})["m"].interval
    monkeypatch.setattr(bootstrap, "_MAX_UNITS", 3999)
    monkeypatch.setattr(bootstrap, "_GROUPS", 1000)
    grouped = bootstrap.estimate({"m": measure})["m"].interval
    assert grouped == pytest.approx(whole, abs=0.002)


def test_intervals_of_several_differences_hold_together_and_that_of_one_is_the_usual():
    draw = np.random.default_rng(3)
    runs = {
        name: Measure(ratio, (draw.binomial(100, 0.7 + more, 80).astype(float), np.full(80, 100.0)))
        for name, more in (("a", 0.0), ("b", 0.0), ("c", 0.1))
    }
    found = bootstrap.estimate_differences(runs)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    for (a, b), one in found.items():
        assert (one.value, one.interval) == bootstrap.estimate_difference(runs[a], runs[b])
        assert one.joint_interval[0] < one.interval[0] < one.value < one.interval[1] < one.joint_interval[1]
    alone = bootstrap.estimate_differences({name: runs[name] for name in "ab"})["a", "b"]
    assert alone.joint_interval == alone.interval == found["a", "b"].interval


def test_joint_intervals_have_the_level_that_bonferroni_asks_for():
    draw = np.random.default_rng(7)
    below = np.full(60, 100.0)
    runs = {name: Measure(ratio, (draw.normal(70, 5, 60), below)) for name in "abcd"}
    one = bootstrap.estimate_differences(runs, resamples=6000)["a", "b"]
    gap = (runs["b"].columns[0] - runs["a"].columns[0]) / 100
    error = gap.std() / 60**0.5
    assert one.joint_interval[1] - one.joint_interval[0] == pytest.approx(2 * 2.638 * error, rel=0.06)  # 1 - 0.05 / 6
    assert one.interval[1] - one.interval[0] == pytest.approx(2 * 1.960 * error, rel=0.06)


def test_a_difference_needs_two_images_and_two_values():
    undefined = Measure(ratio, (np.zeros(3), np.zeros(3)))
    found = bootstrap.estimate_differences({"a": Measure(ratio, (np.ones(3), np.ones(3))), "b": undefined})["a", "b"]
    assert (found.value, found.interval, found.joint_interval) == (None, None, None)
    alone = {name: Measure(ratio, (np.full(1, value), np.ones(1))) for name, value in (("a", 0.25), ("b", 0.5))}
    found = bootstrap.estimate_differences(alone)["a", "b"]
    assert (found.value, found.interval, found.joint_interval) == (0.25, None, None)
    assert bootstrap.estimate_differences({}) == {}
