"""Which run is better, in one sentence: every case by hand."""

import numpy as np
import pandas as pd
import pytest

from dashboard.answers import evaluation as answers
from dashboard.answers.evaluation import Gap, Verdict
from dashboard.answers.words import Speed, compare_speed, join_names
from seglib.metrics.bootstrap import Estimate

LABELS = {"f": "FCN", "u": "U-Net", "s": "SegNet", "d": "DeepLab", "l": "LR-ASPP"}
MINUS = "\N{MINUS SIGN}"


def score(value: float | None, *ends: float) -> Estimate:
    return Estimate(value=value, interval=tuple(ends) or None, mean=value, mean_interval=None, n=445)


def verdict(values: dict[str, float | None], gaps: dict[str, tuple], photos: int = 445) -> Verdict:
    """`gaps`: "fu" -> (low, high of u minus f in points, photos that differ); the value follows from the scores."""
    made = {}
    for (a, b), (low, high, differing) in ((tuple(pair), rest) for pair, rest in gaps.items()):
        known = values[a] is not None and values[b] is not None
        interval = None if low is None else (low / 100, high / 100)
        made[a, b] = Gap(value=values[b] - values[a] if known else None, interval=interval, differing=differing)
    ends = {run: () if value is None or photos < 2 else (value - 0.05, value + 0.06) for run, value in values.items()}
    return Verdict(photos=photos, scores={run: score(value, *ends[run]) for run, value in values.items()}, gaps=made)


def said(*parts, speed: Speed | None = None, **more) -> str:
    return answers.sentence(verdict(*parts, **more), LABELS, speed).replace("\xa0", " ")


def speed(*ms: float, alone: bool = True, gflops: dict[str, float] | None = None) -> Speed:
    return Speed(ms=dict(zip("fus", ms, strict=False)), gflops=gflops or {}, alone=alone)


FAST = speed(100.0, 160.0)


@pytest.mark.parametrize(
    ("values", "gap", "photos", "speed", "expected"),
    [
        (
            {"f": 0.452, "u": 0.436},
            (-5.8, 2.9, 400),
            445,
            FAST,
            f"No difference beyond chance on 445 photos: mIoU FCN minus U-Net +1.6 points, {MINUS}2.9 to +5.8; "
            "FCN is 1.6 times as fast.",
        ),
        (
            {"f": 0.436, "u": 0.467},
            (1.2, 5.0, 400),
            445,
            FAST,
            "U-Net is better than FCN on 445 photos: mIoU +3.1 points, +1.2 to +5.0; FCN is 1.6 times as fast.",
        ),
        (
            {"f": 0.467, "u": 0.436},
            (-5.0, -1.2, 400),
            445,
            speed(100.0, 160.0, alone=False),
            "FCN is better than U-Net on 445 photos: mIoU +3.1 points, +1.2 to +5.0; FCN ran 1.6 times as fast.",
        ),
        (
            {"f": 0.45, "u": 0.451},
            (-0.1, 0.3, 400),
            445,
            None,
            f"U-Net and FCN are tied on 445 photos: mIoU U-Net minus FCN +0.1 points, {MINUS}0.1 to +0.3.",
        ),
        (  # "0.0 points, 0.0 to +2.8" says why
            {"f": 0.45, "u": 0.4503},
            (0.0, 2.8, 12),
            445,
            None,
            "No difference beyond chance on 445 photos: mIoU U-Net minus FCN +0.03 points, 0 to +2.8; they score "
            "differently on 12.",
        ),
        (
            {"f": 0.45, "u": 0.45},
            (0.0, 0.0, 0),
            445,
            speed(100.0, 105.0),
            "FCN and U-Net score the same on every photo: mIoU 45.0 % (40.0 to 51.0) on 445 photos.",
        ),
        (
            {"f": 0.45, "u": 0.47},
            (None, None, 1),
            1,
            FAST,
            "1 photo is too few to tell the runs apart: mIoU U-Net 47.0 %, FCN 45.0 %.",
        ),
        (
            {"f": 0.45, "u": 0.47},
            (1.0, 3.0, 2),
            2,
            FAST,
            "2 photos are too few to tell the runs apart: mIoU U-Net 47.0 %, FCN 45.0 %.",
        ),
        (
            {"f": None, "u": 0.47},
            (None, None, 445),
            445,
            FAST,
            "U-Net: mIoU 47.0 % (42.0 to 53.0) on 445 photos. mIoU of FCN is not defined here.",
        ),
        (
            {"f": None, "u": None},
            (None, None, 0),
            445,
            None,
            "mIoU is not defined on 445 photos: no class of the truth can be compared.",
        ),
    ],
)
def test_two_runs(values, gap, photos, speed, expected):
    assert said(values, {"fu": gap}, photos=photos, speed=speed) == expected
    swapped = dict(reversed(values.items()))
    low, high, differing = gap
    turned = {"uf": (None if low is None else -high, None if high is None else -low, differing)}
    if values["f"] != values["u"]:  # the order in which the runs are named does not matter
        assert said(swapped, turned, photos=photos, speed=speed) == expected


def test_one_run():
    assert said({"f": 0.452}, {}) == "mIoU 45.2 % (40.2 to 51.2) on 445 photos."
    assert said({"f": 0.452}, {}, photos=1) == "mIoU 45.2 % on 1 photo, too few for an interval."
    assert answers.sentence(Verdict(photos=0, scores={}, gaps={}), LABELS) == ""


def test_three_runs_of_which_none_is_better():
    found = said(
        {"f": 0.452, "u": 0.436, "s": 0.44},
        {"fu": (-7, 4, 400), "fs": (-6, 4, 400), "us": (-3, 4, 400)},
        speed=speed(50.0, 100.0, 80.0),
    )
    assert found == (
        "No run is better beyond chance on 445 photos: mIoU 43.6 % (U-Net) to 45.2 % (FCN); "
        "FCN is 1.6 times as fast as SegNet."
    )


def test_three_runs_of_which_two_are_tied():
    gaps = {"fu": (-7, 4, 400), "fs": (-0.1, 0.2, 40), "us": (-4, 7, 400)}
    assert said({"f": 0.452, "u": 0.436, "s": 0.4519}, gaps) == (
        "No run is better beyond chance on 445 photos: mIoU 43.6 % (U-Net) to 45.2 % (FCN); FCN is tied with SegNet."
    )


def test_three_runs_of_which_two_are_the_same():
    gaps = {"fu": (-7, 4, 400), "fs": (0, 0, 0), "us": (-4, 7, 400)}
    assert said({"f": 0.452, "u": 0.436, "s": 0.452}, gaps) == (
        "No run is better beyond chance on 445 photos: mIoU 43.6 % (U-Net) to 45.2 % (FCN and SegNet); "
        "FCN and SegNet score the same on every photo."
    )
    gaps = {"fu": (-3, -1, 400), "fs": (0, 0, 0), "us": (1, 3, 400)}
    assert said({"f": 0.452, "u": 0.436, "s": 0.452}, gaps) == (
        "FCN and SegNet score the same and are best on 445 photos, mIoU 45.2 %: better than U-Net beyond chance."
    )
    gaps = {"fu": (0, 0, 0), "fs": (0, 0, 0), "us": (0, 0, 0)}
    assert said({"f": 0.45, "u": 0.45, "s": 0.45}, gaps) == (
        "All 3 runs score the same on every photo: mIoU 45.0 % (40.0 to 51.0) on 445 photos."
    )


def test_three_runs_with_a_best_and_one_that_may_be_as_good():
    gaps = {"fu": (1, 5, 400), "fs": (0.2, 4, 400), "us": (-2.1, 1.0, 400)}
    assert said({"f": 0.44, "u": 0.47, "s": 0.465}, gaps) == (
        f"U-Net is ahead on 445 photos, mIoU 47.0 %: better than FCN beyond chance, not than SegNet (+0.5 points, "
        f"{MINUS}1.0 to +2.1)."
    )
    gaps = {"fu": (1, 5, 400), "fs": (0.2, 4, 400), "us": (-0.2, 0.1, 400)}
    assert said({"f": 0.44, "u": 0.47, "s": 0.4695}, gaps) == (
        "U-Net is ahead on 445 photos, mIoU 47.0 %: better than FCN beyond chance, tied with SegNet."
    )


def test_five_runs():
    values = {"f": 0.44, "u": 0.50, "s": 0.45, "d": 0.43, "l": 0.42}
    pairs = {"fu": (1, 9, 400), "us": (-9, -1, 400), "ud": (-9, -2, 400), "ul": (-9, -3, 400)}
    others = dict.fromkeys(("fs", "fd", "fl", "sd", "sl", "dl"), (-1, 1, 400))
    assert said(values, pairs | others) == (
        "U-Net is best on 445 photos, mIoU 50.0 %: better than 4 runs beyond chance."
    )
    pairs["us"] = (-9, 1, 400)
    pairs["fu"] = (-1, 9, 400)
    assert said(values, pairs | others) == (
        "U-Net is ahead on 445 photos, mIoU 50.0 %: better than DeepLab and LR-ASPP beyond chance, not than SegNet "
        "and FCN."
    )
    assert said(values, pairs | others, photos=9).startswith(
        "9 photos are too few to tell the runs apart: mIoU U-Net 50"
    )


def test_the_best_of_each_measure_is_marked_unless_all_are_written_alike():
    rows = [[0.9, 0.10, 0.5, None], [0.8, 0.05, 0.50001, 0.3], [0.8999999, 0.2, 0.5, None]]
    assert answers.best_cells(rows, ["miou", "ece", "mdice", "boundary_f"]) == {(0, 0), (2, 0), (1, 1)}
    assert answers.best_cells(rows[:1], ["miou", "ece", "mdice", "boundary_f"]) == set()


def test_the_method_names_the_correction_where_there_is_one():
    assert "paired" not in answers.describe_method(1)
    assert "Bonferroni" not in answers.describe_method(2)
    assert "all 10 pairs hold together at 95 % (Bonferroni; Dunn 1961)" in answers.describe_method(5)


def costs(**columns) -> pd.DataFrame:
    unknown = {
        "ms_per_image": np.nan,
        "latency_ms": np.nan,
        "latency_alone": None,
        "latency_device": None,
        "gflops": np.nan,
    }
    return pd.DataFrame(
        {"run": ["f", "u"], **{name: columns.get(name, [value] * 2) for name, value in unknown.items()}}
    )


def test_speed_is_said_only_of_times_that_can_be_compared():
    assert compare_speed(costs()) is None
    assert compare_speed(costs(ms_per_image=[100.0, None])) is None
    assert compare_speed(costs(ms_per_image=[100.0, 0.0])) is None
    assert compare_speed(costs(ms_per_image=[100.0, 160.0])) == speed(100.0, 160.0, alone=False)
    alone = {"latency_ms": [20.0, 60.0], "latency_alone": [True, True], "ms_per_image": [400.0, 100.0]}
    assert compare_speed(costs(**alone, latency_device=["cpu", "cpu"])) == speed(20.0, 60.0)
    assert compare_speed(costs(**alone, latency_device=["cpu", "cuda"])).alone is False


@pytest.mark.parametrize(
    ("gflops", "alone", "expected"),
    [
        ([0.8, 1.2], False, "; FCN ran 1.5 times as fast"),
        ([0.8, 0.8], False, ""),  # only what else the machine did can explain it
        ([1.2, 0.8], False, ""),
        ([0.8, 0.8], True, "; FCN is 1.5 times as fast"),
        ([0.8, None], False, "; FCN ran 1.5 times as fast"),
    ],
)
def test_the_time_of_a_run_counts_only_if_its_operations_do_not_contradict_it(gflops, alone, expected):
    known = {run: number for run, number in zip("fu", gflops, strict=True) if number is not None}
    assert speed(132.0, 201.0, alone=alone, gflops=known).sentence(LABELS) == expected


def test_names_are_listed_up_to_three():
    assert [join_names(list(names)) for names in ("a", "ab", "abc", "abcd")] == ["a", "a and b", "a, b and c", "4 runs"]
    assert join_names([]) == ""
