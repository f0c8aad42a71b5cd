"""Name what two masks of a photo differ in most, for the captions of a gallery's page: `dog taken for cat 62 %`."""

import numpy as np

from dashboard.formatting import percent
from seglib.classes import BACKGROUND, VOID, class_lookup
from seglib.metrics.confusion import JointCounts

MAX_NAMED = 2
"""Differences named per photo."""

MIN_SHARE = 0.01
"""Smaller differences are named only if they are the largest."""

ClassPair = tuple[str, str, float]
"""(class in the first mask, class in the second, share 0..1 of the photo's pixels that are compared)."""


def largest_differences(counts: JointCounts, *, both_known: bool) -> list[list[ClassPair]]:
    """Return the largest differences of each photo, at most `MAX_NAMED`; call for few photos.

    Pixels are compared as by `JointCounts.class_overlap`: void, and classes that only the first mask's side has, are
    left out; with `both_known` also those that only the second side has.
    """
    common = counts.common_classes
    second = class_lookup(counts.classes_a, counts.classes_b)[counts.a]  # the first mask's classes as the second's
    known = class_lookup(counts.classes_b, common)[counts.b] != VOID
    used = (second != VOID) & (counts.b != VOID) & (known | (not both_known))
    compared = np.bincount(counts.image[used], counts.pixels[used], counts.images)
    pixels: list[dict[tuple[str, str], int]] = [{} for _ in range(counts.images)]
    for cell in np.flatnonzero(used & (second != counts.b)):
        photo, pair = pixels[counts.image[cell]], (counts.classes_a[counts.a[cell]], counts.classes_b[counts.b[cell]])
        photo[pair] = photo.get(pair, 0) + int(counts.pixels[cell])
    return [
        _largest([(*pair, number / every) for pair, number in photo.items()])
        for photo, every in zip(pixels, compared, strict=True)
    ]


def _largest(pairs: list[ClassPair]) -> list[ClassPair]:
    ordered = sorted(pairs, key=lambda pair: -pair[2])
    return [pair for place, pair in enumerate(ordered[:MAX_NAMED]) if not place or pair[2] >= MIN_SHARE]


def describe_error(truth: str, prediction: str, share: float) -> str:
    """`dog taken for cat 62 %`, `sofa missed 31 %`, `cat invented 12 %`."""
    if prediction == BACKGROUND:
        text = f"{truth} missed"
    elif truth == BACKGROUND:
        text = f"{prediction} invented"
    else:
        text = f"{truth} taken for {prediction}"
    return f"{text} {percent(share)}"


def describe_difference(a: str, b: str, share: float) -> str:
    """`A cat, B dog 31 %`."""
    return f"A {a}, B {b} {percent(share)}"
