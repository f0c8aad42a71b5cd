"""Turn shapes, which are polygons or run-length encoded (RLE) as in COCO files, into masks.

Where shapes overlap, the smaller one lies on top and, of equals, the later one.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from seglib.classes import Mask

Counts = NDArray[np.int64]
"""int64 (N,): lengths of runs, column by column from the top left, first of zeros, then of ones, and so on."""

_OUTSIDE = 0.1  # how far a polygon may leave its image, as a share of the side; what is outside is cut off
_MAX_OUTLINE = 4_000_000  # pixels along one polygon; pycocotools takes 40 bytes for each
_MAX_COUNT_LENGTH = 7  # characters of one count in a compressed RLE, 5 bits each


def paint_shapes(shapes: Iterable[tuple[int, bool, Counts]], size_wh: tuple[int, int]) -> Mask:
    """Paint shapes over each other, the largest first and crowds below all others, on background 0.

    Takes (class index, whether it is a crowd, counts of its pixels) per shape; returns uint8 (H, W).
    """
    width, height = size_wh
    flat = np.zeros(width * height, np.uint8)  # column by column
    for index, _, counts in sorted(shapes, key=lambda shape: (not shape[1], -int(shape[2][1::2].sum()))):
        flat[np.repeat(np.arange(len(counts)) % 2 == 1, counts)] = index
    return np.ascontiguousarray(flat.reshape(width, height).T)


def rasterize(polygons: Sequence[NDArray[np.float64]], size_wh: tuple[int, int]) -> Counts:
    """Return the pixels that any of the polygons covers; each is float64 (2 * N,): x1, y1, x2, y2, ... in pixels.

    Raises `ValueError` for a polygon that is none, or that lies outside of the image.
    """
    from pycocotools import mask as coco_mask

    width, height = size_wh
    for polygon in polygons:
        _check_polygon(polygon, size_wh)
    encoded = coco_mask.frPyObjects([polygon.tolist() for polygon in polygons], height, width)
    return check_counts(decode_counts(coco_mask.merge(encoded)["counts"]), size_wh)


def decode_counts(text: bytes) -> Counts:
    """Decode the counts of a compressed RLE, without trusting them as pycocotools does. Raises `ValueError`.

    A count is written 5 bits at a time, the lowest first, in characters from "0" on; 32 is added to all but its last
    one. From the fourth on, it is the difference to the count before the last.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - ord("0")
    if not len(codes) or codes.min() < 0 or codes.max() >= 64 or codes[-1] & 32:
        raise ValueError("the counts of an RLE are damaged.")
    ends = np.flatnonzero(codes < 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_COUNT_LENGTH:
        raise ValueError("the counts of an RLE are damaged.")
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    counts = np.add.reduceat((codes & 31) << (5 * places), starts)
    counts[codes[ends] & 16 > 0] -= (1 << (5 * lengths))[codes[ends] & 16 > 0]  # a negative number
    for first in (1, 2):
        counts[first::2] = np.cumsum(counts[first::2])
    return counts


def check_counts(counts: Counts, size_wh: tuple[int, int]) -> Counts:
    """Return the counts unchanged. Raises `ValueError` unless they are counts for an image of this size."""
    pixels = size_wh[0] * size_wh[1]
    if counts.min(initial=0) < 0 or counts.max(initial=0) > pixels or counts.sum() != pixels:
        raise ValueError(f"the counts of an RLE do not add up to the image's {pixels:,} pixels.")
    return counts


def _check_polygon(polygon: NDArray[np.float64], size_wh: tuple[int, int]) -> None:
    """Raise `ValueError` unless a polygon has three points or more, that lie in the image or close to it."""
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"a polygon has {len(polygon)} numbers: expected an even number, at least 6.")
    if not np.isfinite(polygon).all():
        raise ValueError("a polygon holds a number that is not finite.")
    points = polygon.reshape(-1, 2)
    margin = np.maximum(2, _OUTSIDE * np.array(size_wh))
    outside = ((points < -margin) | (points > size_wh + margin)).any(axis=1)
    if outside.any():
        x, y = points[outside][0]
        raise ValueError(f"a polygon reaches {x:g}, {y:g}, outside of the image of {size_wh[0]} x {size_wh[1]} pixels.")
    steps = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    if steps.sum() > _MAX_OUTLINE:
        raise ValueError(f"a polygon is more than {_MAX_OUTLINE:,} pixels long.")
