"""Choose the classes that a chart, table or matrix shows: the largest ones.

Used by pages and reports, so it does not import plotly.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from seglib.classes import BACKGROUND
from seglib.metrics.confusion import JointCounts


def largest_classes(sizes: "Mapping[str, float] | pd.Series", limit: int | None = None) -> list[str]:
    """Return the classes whose size is above 0, largest first, at most `limit`; equal sizes keep their order."""
    positive_sizes = {str(name): float(size) for name, size in sizes.items() if size > 0}  # NaN is not above 0
    return sorted(positive_sizes, key=lambda name: -positive_sizes[name])[:limit]


def background_first(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: name != BACKGROUND)


def side_pixels(counts: JointCounts) -> tuple[dict[str, int], dict[str, int]]:
    """Return class -> pixels in all masks of the first and of the second side."""
    matrix = counts.matrix()
    sides = (counts.classes_a, matrix.sum(1)), (counts.classes_b, matrix.sum(0))
    of_a, of_b = (dict(zip(names, pixels.tolist(), strict=True)) for names, pixels in sides)
    return of_a, of_b


def total_pixels(counts: JointCounts) -> dict[str, int]:
    """Return class -> pixels of both sides together."""
    of_a, of_b = side_pixels(counts)
    return {name: of_a.get(name, 0) + of_b.get(name, 0) for name in dict.fromkeys((*of_a, *of_b))}


def larger_side_pixels(all_counts: Sequence[JointCounts]) -> dict[str, int]:
    """Return class -> pixels of the side of any of these counts that has the most of it."""
    largest: dict[str, int] = {}
    for counts in all_counts:
        for side in side_pixels(counts):
            for name, pixels in side.items():
                largest[name] = max(largest.get(name, 0), pixels)
    return largest
