"""Regions and their outlines: each pixel of a mask is in exactly one region, and within exactly its outline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco_mask

from seglib.masks.regions import Region, find_regions, trace_rings
from seglib.masks.shapes import paint_shapes, rasterize

MASKS = npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.integers(0, 2))


def crossings(polygon: np.ndarray, size_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """How often a ray from each pixel's centre to the left crosses the polygon, and the balance of that."""
    count, winding = np.zeros(size_wh[::-1], int), np.zeros(size_wh[::-1], int)
    for (x, y), (_, next_y) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        for row in range(min(y, next_y), max(y, next_y)):  # only vertical pieces cross
            count[row, x:] += 1
            winding[row, x:] += 1 if next_y < y else -1
    return count, winding


def place(region: Region, size_wh: tuple[int, int]) -> np.ndarray:
    whole = np.zeros(size_wh[::-1], bool)
    left, top, width, height = region.bbox
    whole[top : top + height, left : left + width] = region.pixels
    return whole


@given(MASKS)
def test_regions_are_the_masks_pixels(mask):
    size_wh = mask.shape[1], mask.shape[0]
    painted = np.zeros_like(mask)
    for region in find_regions(mask, 3, 0):
        pixels = place(region, size_wh)
        assert not painted[pixels].any()
        assert region.area == pixels.sum()
        assert region.pixels.any(axis=0)[[0, -1]].all()
        assert region.pixels.any(axis=1)[[0, -1]].all()
        painted[pixels] = region.class_index
    assert (painted == mask).all()


@given(MASKS)
def test_an_outline_surrounds_its_regions_pixels_by_either_rule_and_in_pycocotools(mask):
    size_wh = mask.shape[1], mask.shape[0]
    for region in find_regions(mask, 3, None):
        pixels = place(region, size_wh)
        outline = region.outline()
        count, winding = crossings(outline, size_wh)
        assert (count % 2 == pixels).all()
        assert ((winding != 0) == pixels).all()
        counts = rasterize([outline.ravel().astype(float)], size_wh)
        assert (paint_shapes([(1, False, counts)], size_wh) == pixels).all()


@given(MASKS)
def test_the_rle_of_a_region_has_its_area_and_box(mask):
    size_wh = mask.shape[1], mask.shape[0]
    for region in find_regions(mask, 3, 0):
        encoded = {"size": list(mask.shape), "counts": region.encode_rle(size_wh)}
        assert coco_mask.area(encoded) == region.area
        assert coco_mask.toBbox(encoded).tolist() == list(region.bbox)


@pytest.mark.parametrize(
    ("rows", "corners"),
    [
        (["#"], [4]),
        (["##", "##"], [4]),
        (["#.", ".#"], [8]),  # pixels that touch by their corners are one region
        ([".#", "#."], [8]),
        (["###", "#.#", "###"], [4, 4]),
        (["##.", "#.#", ".##"], [8, 4]),
        (["#####", "#.#.#", "#####"], [4, 4, 4]),
        (["####", "#..#", "#.##", "####"], [4, 6]),
    ],
)
def test_rings_have_a_corner_where_they_turn(rows, corners):
    pixels = np.array([[sign == "#" for sign in row] for row in rows])
    assert [len(ring) for ring in trace_rings(pixels)] == corners


def test_a_ring_within_a_ring_is_a_region_of_its_own():
    rings = np.ones((9, 9), np.uint8)
    rings[1:8, 1:8] = 0
    rings[2:7, 2:7] = 1
    rings[3:6, 3:6] = 0
    found = list(find_regions(rings, 2, 0))
    assert [region.bbox for region in found] == [(0, 0, 9, 9), (2, 2, 5, 5)]
    assert [len(region.outline()) for region in found] == [11, 11]  # two squares, and the cut


def test_void_and_the_background_are_no_region():
    mask = np.array([[0, 1, 255]], np.uint8)
    assert [region.class_index for region in find_regions(mask, 2, 0)] == [1]
    assert [region.class_index for region in find_regions(mask, 2, None)] == [0, 1]
    assert list(find_regions(np.zeros((3, 3), np.uint8), 2, 0)) == []
