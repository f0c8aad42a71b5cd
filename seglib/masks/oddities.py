"""Measure what makes a mask look implausible without any ground truth: cut by the frame, two animals in one region.

Takes a mask uint8 (H, W), 255 for void, and its class names; `find_oddities` returns one flat record per image.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seglib.classes import BACKGROUND, PRESENT_SHARE, VOID, Mask

ANIMAL_NAMES = frozenset(
    ("bird", "cat", "cow", "dog", "horse", "sheep", "elephant", "bear", "zebra", "giraffe")  # of VOC and COCO
)
"""Classes of which one connected region normally holds only one."""

MIXED_SHARE = 0.05
"""A second animal class counts from this share of its region on."""


def find_oddities(mask: Mask, classes: Sequence[str]) -> dict[str, object]:
    """Return the most striking oddity of each kind, as a store row.

    `cut_class`, `cut_share` (0..1): the class of which most is cut by the frame, and the share of its outline that lies
    on the frame. `mixed_class`, `mixed_with`, `mixed_share` (0..0.5), `interleaved` (0..1): of the region of animals in
    which two classes are interleaved most, the larger and the smaller class, the smaller one's share of the region, and
    how much of the smaller one's outline touches the larger. Only classes and regions of at least `PRESENT_SHARE` of
    the mask count; without any, names are None and numbers 0.
    """
    return _find_cut(mask, classes) | _find_mixture(mask, classes)


def _find_cut(mask: Mask, classes: Sequence[str]) -> dict[str, object]:
    inner = np.pad(mask, 1, constant_values=VOID)  # void is no class, so a pixel on the frame is on the outline
    centre = inner[1:-1, 1:-1]
    outline = np.zeros(mask.shape, bool)
    for neighbour in (inner[:-2, 1:-1], inner[2:, 1:-1], inner[1:-1, :-2], inner[1:-1, 2:]):
        outline |= neighbour != centre
    on_frame = np.zeros(mask.shape, bool)
    on_frame[[0, -1], :] = on_frame[:, [0, -1]] = True
    pixels, outlined, cut = (
        np.bincount(values, minlength=VOID + 1)[: len(classes)]
        for values in (mask.ravel(), mask[outline], mask[on_frame])
    )
    shares = np.where(pixels >= max(1, PRESENT_SHARE * mask.size), cut / np.maximum(outlined, 1), 0)
    shares[[name == BACKGROUND for name in classes]] = 0
    if not shares.any():
        return {"cut_class": None, "cut_share": 0.0}
    return {"cut_class": classes[int(shares.argmax())], "cut_share": float(shares.max())}


def _find_mixture(mask: Mask, classes: Sequence[str]) -> dict[str, object]:
    best: dict[str, object] = {"mixed_class": None, "mixed_with": None, "mixed_share": 0.0, "interleaved": 0.0}
    animals = [index for index, name in enumerate(classes) if name.lower() in ANIMAL_NAMES]
    if np.isin(animals, mask).sum() < 2:
        return best
    from scipy import ndimage  # takes 0.2 s, which a rerun with nothing to do should not pay

    regions, count = ndimage.label(np.isin(mask, animals), structure=np.ones((3, 3), bool))
    for number, box in enumerate(ndimage.find_objects(regions, count), 1):
        region = regions[box] == number
        values = np.where(region, mask[box], VOID)
        pixels = np.bincount(values[region], minlength=VOID + 1)
        large, small = np.argsort(-pixels, kind="stable")[:2]
        area, share = int(region.sum()), pixels[small] / region.sum()
        if area < PRESENT_SHARE * mask.size or share < MIXED_SHARE:
            continue
        perimeter = 2 * math.sqrt(math.pi * pixels[small])  # of a disc, the shortest there is
        interleaved = min(1.0, _count_contacts(values, int(large), int(small)) / perimeter)
        if interleaved > float(best["interleaved"]):  # type: ignore[arg-type]
            names = classes[large], classes[small]
            best = dict(zip(best, (*names, float(share), interleaved), strict=True))
    return best


def _count_contacts(values: NDArray[np.uint8], first: int, second: int) -> int:
    """Number of pairs of neighbouring pixels (4 neighbours) of which one is `first` and the other `second`."""
    return sum(
        int((((a == first) & (b == second)) | ((a == second) & (b == first))).sum())
        for a, b in ((values[:, 1:], values[:, :-1]), (values[1:], values[:-1]))
    )
