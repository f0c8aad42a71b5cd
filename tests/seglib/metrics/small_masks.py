"""Masks of a few pixels that a person can check by eye, and generated ones; their counts and measures."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seglib.classes import VOID
from seglib.metrics.confusion import JointCounts

NAMES = ("background", "cat", "dog", "person")


def mask(*rows: str) -> np.ndarray:
    """'.' background, c cat, d dog, p person, '#' void."""
    return np.array([[{".": 0, "c": 1, "d": 2, "p": 3, "#": VOID}[sign] for sign in row] for row in rows], np.uint8)


def of(*pairs: tuple[np.ndarray, np.ndarray], names_a=NAMES, names_b=NAMES) -> JointCounts:
    return JointCounts.of_masks(pairs, names_a, names_b)


A = mask("cc..", "cc..", "..dd", "..#d")
B = mask("ccc.", "cd..", "..dd", "...d")
NOTHING = mask("....", "....", "....", "....")


def overall(measures: dict) -> dict[str, float | None]:
    return {name: measure.overall() for name, measure in measures.items()}


VALUES = st.sampled_from([0, 1, 2, 3, VOID])
PAIRS = st.lists(
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9).flatmap(
        lambda shape: st.tuples(*(hnp.arrays(np.uint8, shape, elements=VALUES) for _ in "ab"))
    ),
    max_size=5,
)
