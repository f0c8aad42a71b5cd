"""Polygons and run-length encoded shapes become the pixels that pycocotools gives them."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco_mask

from seglib.masks.shapes import check_counts, decode_counts, paint_shapes, rasterize

BITS = npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1))


def counts_of(bits: np.ndarray) -> np.ndarray:
    return decode_counts(coco_mask.encode(np.asfortranarray(bits))["counts"])


@given(BITS)
def test_counts_are_what_pycocotools_encodes(bits):
    size_wh = bits.shape[1], bits.shape[0]
    counts = check_counts(counts_of(bits), size_wh)
    assert counts[1::2].sum() == bits.sum()
    assert (paint_shapes([(1, False, counts)], size_wh) == bits).all()


@given(st.binary(max_size=40))
def test_any_bytes_are_counts_or_an_error(text):
    with contextlib.suppress(ValueError):
        counts = check_counts(decode_counts(text), (7, 5))
        assert paint_shapes([(1, False, counts)], (7, 5)).sum() == coco_mask.area({"size": [5, 7], "counts": text})


@pytest.mark.parametrize(
    "text", [b"", b"d01c0o", b"\x00", b"o", b"pppppppp0", b"PPPPPPPPPPPP0", b"5", b"O", "é".encode()]
)
def test_damaged_counts_are_an_error(text):
    with pytest.raises(ValueError, match="the counts of an RLE"):
        check_counts(decode_counts(text), (20, 20))


@pytest.mark.parametrize(
    "polygon",
    [(2, 3, 9, 3, 9, 12, 2, 12), (0, 0, 20, 0, 20, 15, 0, 15), (1.3, 2.7, 18.1, 4.4, 9.9, 14.2), (-1, -1, 5, 0, 0, 5)],
)
def test_polygons_are_rasterized_as_by_pycocotools(polygon):
    (right,) = coco_mask.frPyObjects([list(polygon)], 15, 20)
    assert rasterize([np.array(polygon, float)], (20, 15)).tolist() == decode_counts(right["counts"]).tolist()


def test_polygons_of_one_shape_are_joined():
    squares = [np.array([a, a, b, a, b, b, a, b], float) for a, b in ((0, 2), (1, 4))]
    two = rasterize(squares, (4, 4))
    assert paint_shapes([(1, False, two)], (4, 4)).tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ((), "0 numbers"),
        ((1, 1, 5, 5), "4 numbers"),
        ((1, 1, 5, 5, 3), "5 numbers"),
        ((1, 1, 5, 5, 3, 3, 2), "7 numbers"),
        ((1, 1, float("nan"), 5, 3, 3), "not finite"),
        ((1, 1, float("inf"), 5, 3, 3), "not finite"),
        ((1, 1, 1e9, 5, 3, 3), r"reaches 1e\+09, 5, outside of the image of 20 x 15"),
        ((1, 1, 5, -4, 3, 3), "reaches 5, -4, outside"),
        ((0, 0, 20, 0) * 200_000, "pixels long"),
    ],
)
def test_a_hostile_polygon_is_an_error(polygon, said):
    with pytest.raises(ValueError, match=said):
        rasterize([np.array(polygon, float)], (20, 15))


def square(size: int) -> np.ndarray:
    bits = np.zeros((4, 4), np.uint8)
    bits[:size, :size] = 1
    return counts_of(bits)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_smaller_shape_lies_on_top(order):
    shapes = [(1, False, square(1)), (2, False, square(2)), (3, False, square(3))]
    mask = paint_shapes([shapes[place] for place in order], (4, 4))
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[1, 2, 3, 0], [2, 2, 3, 0], [3, 3, 3, 0], [0, 0, 0, 0]]


def test_of_equal_shapes_the_later_one_lies_on_top_and_crowds_below():
    assert paint_shapes([(1, False, square(2)), (2, False, square(2))], (4, 4))[0, 0] == 2
    assert paint_shapes([(2, True, square(1)), (1, False, square(2))], (4, 4))[0, 0] == 1
    assert paint_shapes([], (4, 3)).tolist() == [[0] * 4] * 3
