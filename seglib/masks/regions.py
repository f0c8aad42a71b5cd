"""Split a mask into connected regions and trace their outlines along the edges of their pixels.

The outlines are exact: a pixel belongs to a region if and only if its centre lies within the polygon, by the even-odd
rule and by the non-zero rule.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglib.classes import Mask

Ring = NDArray[np.int64]
"""int64 (N, 2): corners x, y of a closed outline, clockwise; those of holes are counter-clockwise."""


@dataclass(frozen=True, eq=False)
class Region:
    """Connected pixels of one class (8 neighbours)."""

    class_index: int
    left: int
    top: int
    pixels: NDArray[np.bool_]
    """bool (h, w): the region within its bounding box."""

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.pixels))

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """Left, top, width, height in pixels."""
        return self.left, self.top, self.pixels.shape[1], self.pixels.shape[0]

    def encode_rle(self, size_wh: tuple[int, int]) -> str:
        """Return the counts of a compressed RLE for a mask of this size, as pycocotools writes them."""
        from pycocotools import mask as coco_mask

        whole = np.zeros(size_wh[::-1], np.uint8, order="F")
        whole[self.top : self.top + self.pixels.shape[0], self.left : self.left + self.pixels.shape[1]] = self.pixels
        return str(coco_mask.encode(whole)["counts"].decode("ascii"))

    def outline(self) -> Ring:
        """Return one polygon that surrounds exactly the region's pixels.

        Each hole is joined to what surrounds it by a cut of no width, along which the polygon goes there and back.
        """
        outer, *holes = trace_rings(self.pixels)
        for hole in sorted(holes, key=lambda ring: int(ring[:, 0].min())):
            outer = _join_hole(outer, hole, self.pixels)
        return np.asarray(outer + np.array([self.left, self.top]), np.int64)


def find_regions(mask: Mask, classes: int, background: int | None) -> Iterator[Region]:
    """Yield the connected regions of each class, class by class; `background` and values beyond `classes` are none."""
    from scipy import ndimage  # takes 0.2 s, which a rerun with nothing to do should not pay

    boxes = ndimage.find_objects(mask.astype(np.int32) + 1, max_label=classes)
    for index, box in enumerate(boxes):
        if box is None or index == background:
            continue
        labels, _ = ndimage.label(mask[box] == index, structure=np.ones((3, 3), bool))
        for number, inner in enumerate(ndimage.find_objects(labels), 1):
            left, top = box[1].start + inner[1].start, box[0].start + inner[0].start
            yield Region(index, left, top, labels[inner] == number)


def trace_rings(pixels: NDArray[np.bool_]) -> list[Ring]:
    """Return the outlines of a connected region (8 neighbours): the outer one first, then those of its holes."""
    starts, ends, directions = _trace_edges(pixels)
    by_start: dict[tuple[int, int], dict[int, int]] = {}
    for edge, (x, y) in enumerate(starts.tolist()):
        by_start.setdefault((x, y), {})[int(directions[edge])] = edge
    following = [
        _next_edge(by_start[x, y], int(direction)) for (x, y), direction in zip(ends.tolist(), directions, strict=True)
    ]
    rings, seen = [], [False] * len(starts)
    for first in range(len(starts)):
        ring, edge = [], first
        while not seen[edge]:
            seen[edge] = True
            ring.append(edge)
            edge = following[edge]
        if ring:
            rings.append(starts[ring])
    return sorted(rings, key=_signed_area, reverse=True)


_RIGHT, _DOWN, _LEFT, _UP = range(4)


def _next_edge(candidates: Mapping[int, int], direction: int) -> int:
    """Return the edge that follows at a corner: where pixels touch by their corners, turn left, which joins them."""
    left_turn = (direction - 1) % 4
    return candidates[left_turn] if left_turn in candidates else candidates[(direction + 1) % 4]


def _trace_edges(pixels: NDArray[np.bool_]) -> tuple[Ring, Ring, NDArray[np.int64]]:
    """Return start, end, int64 (N, 2) x, y, and direction, int64 (N,), of each straight piece of the outlines.

    Pieces are directed so that the region lies at their right hand.
    """
    padded = np.pad(pixels, 1)
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]  # of the edge y, x of (H + 1, W)
    before, after = padded[1:-1, :-1].T, padded[1:-1, 1:].T  # of the edge x, y of (W + 1, H)
    pieces = []
    for direction, edges in (
        (_RIGHT, below & ~above),
        (_LEFT, above & ~below),
        (_UP, after & ~before),
        (_DOWN, before & ~after),
    ):
        changes = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        lines, low = np.nonzero(changes == 1)
        _, high = np.nonzero(changes == -1)
        first, last = (low, high) if direction in (_RIGHT, _DOWN) else (high, low)
        is_horizontal = direction in (_RIGHT, _LEFT)
        start, end = (np.stack([along, lines] if is_horizontal else [lines, along], axis=1) for along in (first, last))
        pieces.append((start, end, np.full(len(lines), direction)))
    starts, ends, directions = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return starts, ends, directions


def _signed_area(ring: Ring) -> int:
    """Return the area in pixels, negative for holes."""
    (x, y), (next_x, next_y) = ring.T, np.roll(ring, -1, axis=0).T
    return int((x * next_y - next_x * y).sum()) // 2


def _join_hole(outer: Ring, hole: Ring, pixels: NDArray[np.bool_]) -> Ring:
    """Insert a hole into the outline, by a cut from its upper left corner to the left.

    The outline must already contain all holes that lie further to the left.
    """
    first = np.lexsort((hole[:, 1], hole[:, 0]))[0]
    x, y = hole[first].tolist()
    row = pixels[y, :x]  # left of the corner: first pixels of the region
    target = 0 if row.all() else int(np.flatnonzero(~row)[-1]) + 1
    following = np.roll(outer, -1, axis=0)
    is_met = (outer[:, 0] == target) & (following[:, 0] == target) & (following[:, 1] <= y) & (y < outer[:, 1])
    place = int(np.flatnonzero(is_met)[0]) + 1
    loop = np.roll(hole, -first, axis=0)
    return np.concatenate([outer[:place], [[target, y]], loop, loop[:1], [[target, y]], outer[place:]])
