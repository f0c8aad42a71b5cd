"""Compare two masks pixel by pixel and render the result as a transparent palette PNG.

Takes two index masks of any size with their class names; returns uint8 values of six categories on the finer of the two
grids (see `png.resize_to_finest`). Neither mask is treated as the ground truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.classes import BACKGROUND, VOID, Mask, class_lookup
from seglib.masks.png import encode_png, resize_to_finest

BOTH_BACKGROUND, SAME, ONLY_A, ONLY_B, OTHER, UNCOMPARED = range(6)


@dataclass(frozen=True)
class Category:
    key: str
    label: str
    """`A` and `B` in the text stand for the two runs."""
    colour: str
    """`#rrggbb`."""
    opacity: int
    """Opacity of its pixels, 0..255; a category with opacity 0 is not in the legend."""


CATEGORIES: tuple[Category, ...] = (
    Category("both_background", "both background", "#000000", 0),
    Category("same", "same class", "#f2f2f2", 70),
    Category("only_a", "only A", "#0072b2", 255),
    Category("only_b", "only B", "#e69f00", 255),
    Category("other", "different class", "#d6177f", 255),
    Category("uncompared", "not comparable", "#3c4049", 200),
)
"""Indexed by the value in the map. Blue, orange and magenta also differ in lightness, and under protan, deutan and
tritan colour blindness.
"""


def difference_map(a: Mask, b: Mask, classes_a: Sequence[str], classes_b: Sequence[str]) -> Mask:
    """Return uint8 (H, W) indices into `CATEGORIES`, on the finer of the two grids."""
    a, b = resize_to_finest([a, b])
    categories: Mask = category_table(classes_a, classes_b)[a, b]
    return categories


def category_table(classes_a: Sequence[str], classes_b: Sequence[str]) -> NDArray[np.uint8]:
    """Return uint8 (256, 256): value in a, value in b -> category.

    Classes are matched by name. A pixel is not comparable if it is void or of a class that only one side has.
    """
    common = list(dict.fromkeys(name for name in classes_a if name in classes_b))
    first, second = class_lookup(classes_a, common)[:, None], class_lookup(classes_b, common)[None, :]
    background = common.index(BACKGROUND) if BACKGROUND in common else VOID
    table = np.where(first == second, SAME, OTHER).astype(np.uint8)
    table[(second == background) & (first != background)] = ONLY_A
    table[(first == background) & (second != background)] = ONLY_B
    table[(first == background) & (second == background)] = BOTH_BACKGROUND
    table[(first == VOID) | (second == VOID)] = UNCOMPARED
    return table


def count_categories(category_map: Mask) -> dict[str, int]:
    """Count the pixels of each category, by category key."""
    counts = np.bincount(category_map.ravel(), minlength=len(CATEGORIES))
    return {category.key: int(number) for category, number in zip(CATEGORIES, counts, strict=True)}


def encode_difference_png(category_map: Mask) -> bytes:
    """Encode the map as a palette PNG (value = category), transparent where both masks are background."""
    picture = Image.fromarray(category_map)  # mode L
    picture.putpalette(b"".join(bytes.fromhex(category.colour[1:]) for category in CATEGORIES).ljust(3 * 256, b"\0"))
    picture.info["transparency"] = bytes(category.opacity for category in CATEGORIES)
    return encode_png(picture)
