"""Sharpness against a plain loop over the pixels, and on images that one can work out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seglib.data.photo_measures.quality import sharpness_score, small_grey
from tests.conftest import ROOT


def plain_sharpness(grey: list[list[int]]) -> float:
    """The definition of docs/measures.md, pixel by pixel."""
    height, width = len(grey), len(grey[0])
    edges = []
    for y in range(height):
        for x in range(width):
            if y in (0, height - 1) or x in (0, width - 1):
                edges.append(grey[y][x])  # without all its neighbours, a pixel keeps its grey
                continue
            around = sum(grey[y + dy][x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)) - grey[y][x]
            edges.append(min(max(8 * grey[y][x] - around, 0), 255))
    histogram = [sum(line.count(level) for line in grey) for level in range(256)]
    edge_score, tone_score = (1 - math.exp(-deviation(values) / 100) for values in (edges, histogram))
    return min(edge_score + (tone_score if tone_score > 0.18 else 0), 1)


def deviation(values: list[int]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def score(grey: list[list[int]]) -> float:
    return sharpness_score(Image.fromarray(np.array(grey, np.uint8)))


levels = st.integers(0, 255)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda size: st.lists(st.lists(levels, min_size=size[0], max_size=size[0]), min_size=size[1], max_size=size[1])
    )
)
def test_sharpness_is_that_of_a_plain_loop(grey):
    assert score(grey) == pytest.approx(plain_sharpness(grey), abs=1e-5)


@pytest.mark.parametrize("name", ["astronaut.png", "cow.webp", "sheep.webp"])
def test_sharpness_of_a_photo_is_that_of_a_plain_loop(name):
    grey = small_grey(Image.open(ROOT / "dataset" / "sample" / "others" / name).convert("RGB"))
    assert max(grey.size) == 64
    assert sharpness_score(grey) == pytest.approx(plain_sharpness(np.asarray(grey).tolist()), abs=1e-5)


SPOT = 80 * math.sqrt(8) / 9
"""Deviation of nine pixels, one of which is 80 and the others are 0."""


@pytest.mark.parametrize(
    ("grey", "deviates"),
    [
        ([[0]], 0),
        ([[255]], 0),
        ([[0, 200]], 100),  # all is border
        ([[7, 7], [7, 7]], 0),
        ([[0, 0, 0], [0, 10, 0], [0, 0, 0]], SPOT),
        ([[0, 0, 0], [0, 100, 0], [0, 0, 0]], SPOT * 255 / 80),  # 800, clipped
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], 0),
        ([[200] * 5] * 5, 200 * 0.6 * 0.8),  # 16 pixels of border, 9 inside that are 0
    ],
)
def test_of_tiny_and_even_images_one_can_work_it_out(grey, deviates):
    assert score(grey) == pytest.approx(1 - math.exp(-deviates / 100), abs=1e-6)
    assert plain_sharpness(grey) == pytest.approx(score(grey), abs=1e-5)


def test_an_image_of_one_tone_is_not_taken_for_blurred():
    """64 x 48 pixels of one bin of 256: the histogram deviates by 3,072 * sqrt(255) / 256."""
    assert score([[0] * 64] * 48) == pytest.approx(1 - math.exp(-3072 * math.sqrt(255) / 256 / 100), abs=1e-6)
    assert score([[255] * 64] * 48) == 1
