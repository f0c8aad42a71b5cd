"""How far runs agree, in one sentence: every case by hand."""

import numpy as np

from dashboard.answers import comparison as answers
from dashboard.answers.comparison import Agreement, Flip
from dashboard.answers.words import Speed
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.confusion import JointCounts

LABELS = {"f": "FCN", "u": "U-Net", "s": "SegNet"}


def share(value: float | None, *ends: float) -> Estimate:
    return Estimate(value=value, interval=tuple(ends) or None, mean=value, mean_interval=None, n=445)


def said(
    pairs: dict[str, Estimate], *, every: Estimate | None = None, same=(), flip=None, photos=445, speed=None
) -> str:
    runs = tuple(dict.fromkeys("".join(pairs)))
    agreement = Agreement(
        photos=photos,
        runs=runs,
        pairs={tuple(pair): figure for pair, figure in pairs.items()},
        same=frozenset(tuple(pair) for pair in same),
        consensus=every or next(iter(pairs.values())),
        flip=flip,
    )
    return answers.sentence(agreement, LABELS, speed).replace("\xa0", " ")


def test_two_runs_agree_on_a_share_and_the_rest_has_a_name():
    figure = share(0.986, 0.982, 0.989)
    flip = Flip(a="cat", b="background", share=0.004)
    assert said({"fu": figure}, flip=flip, speed=Speed(ms={"f": 160.0, "u": 100.0}, gflops={}, alone=True)) == (
        "FCN and U-Net agree on 98.6 % of the pixels (98.2 to 98.9) of 445 photos; the largest difference: A cat, "
        "B background (0.4 %); U-Net is 1.6 times as fast."
    )


def test_two_runs_that_give_the_same_or_nothing_in_common():
    assert (
        said({"fu": share(1.0, 1.0, 1.0)}, same=["fu"])
        == "FCN and U-Net give the same mask on every one of 445 photos."
    )
    assert said({"fu": share(None)}) == (
        "FCN and U-Net have no pixel of 445 photos whose classes both know: nothing can be compared."
    )


def test_one_photo_gives_no_interval():
    assert (
        said({"fu": share(0.9)}, photos=1)
        == "FCN and U-Net agree on 90.0 % of the pixels of 1 photo, too few for an interval."
    )


def test_three_runs_name_the_most_and_the_least_alike():
    pairs = {"fu": share(0.986, 0.98, 0.99), "fs": share(0.95, 0.94, 0.96), "us": share(0.961, 0.95, 0.97)}
    assert said(pairs, every=share(0.945, 0.94, 0.95)) == (
        "All 3 runs agree on 94.5 % of the pixels (94.0 to 95.0) of 445 photos; most alike are FCN and U-Net (98.6 %), "
        "least FCN and SegNet (95.0 %)."
    )
    assert said(pairs | {"fu": share(1.0, 1.0, 1.0)}, every=share(0.945, 0.94, 0.95), same=["fu"]) == (
        "All 3 runs agree on 94.5 % of the pixels (94.0 to 95.0) of 445 photos; FCN and U-Net give the same masks; "
        "least alike are FCN and SegNet (95.0 %)."
    )
    assert said(dict.fromkeys(("fu", "fs", "us"), share(1.0, 1.0, 1.0)), same=["fu", "fs", "us"]) == (
        "All 3 runs give the same mask on every one of 445 photos."
    )
    assert said(dict.fromkeys(("fu", "fs", "us"), share(None))) == (
        "These 3 runs have no pixel of 445 photos whose classes all know: nothing can be compared."
    )


def test_the_largest_flip_is_of_classes_that_both_know():
    a, b = np.array([[0, 1, 1], [2, 2, 2]], np.uint8), np.array([[0, 1, 0], [0, 0, 0]], np.uint8)
    counts = JointCounts.of_masks([(a, b)], ("background", "cat", "cow"), ("background", "cat"))
    assert answers.largest_flip(counts) == Flip(
        a="cat", b="background", share=1 / 3
    )  # the three of cow are not compared
    assert answers.largest_flip(JointCounts.of_masks([(b, b)], ("background", "cat"), ("background", "cat"))) is None
