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
