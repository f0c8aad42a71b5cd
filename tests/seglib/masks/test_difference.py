"""The map of differences against a plain loop, and its picture."""

import io

import numpy as np
import pytest
from PIL import Image

from seglib.classes import VOID
from seglib.masks import difference
from seglib.masks.difference import BOTH_BACKGROUND, CATEGORIES, ONLY_A, ONLY_B, OTHER, SAME, UNCOMPARED

NAMES_A = ("background", "cat", "dog", "sofa")
NAMES_B = ("background", "dog", "cat", "train")
"""The same classes by other numbers, and one that only one side knows."""


def plainly(a: np.ndarray, b: np.ndarray, names_a, names_b) -> np.ndarray:
    """Pixel by pixel; the coarser mask is looked up at the middle of each pixel of the finer one."""
    height, width = max(a.shape, b.shape, key=lambda s: (s[0] * s[1], s[1]))
    found = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            values = [m[int((y + 0.5) * m.shape[0] / height), int((x + 0.5) * m.shape[1] / width)] for m in (a, b)]
            one, other = (None if v == VOID else n[v] for v, n in zip(values, (names_a, names_b), strict=True))
            if one is None or other is None or one not in names_b or other not in names_a:
                found[y, x] = UNCOMPARED
            elif one == other:
                found[y, x] = BOTH_BACKGROUND if one == "background" else SAME
            elif "background" in (one, other):
                found[y, x] = ONLY_B if one == "background" else ONLY_A
            else:
                found[y, x] = OTHER
    return found


@pytest.mark.parametrize("shapes", [((4, 4), (4, 4)), ((4, 6), (2, 3)), ((3, 2), (6, 8)), ((5, 4), (7, 3))])
@pytest.mark.parametrize("names", [(NAMES_A, NAMES_B), (NAMES_B, NAMES_A), (NAMES_A, NAMES_A), (NAMES_A, NAMES_A[1:])])
def test_the_map_is_what_a_plain_loop_says(shapes, names):
    draw = np.random.default_rng(7)
    for _ in range(20):
        masks = [
            draw.choice([*range(len(own)), VOID], shape).astype(np.uint8)
            for shape, own in zip(shapes, names, strict=True)
        ]
        found = difference.difference_map(*masks, *names)
        assert found.dtype == np.uint8
        assert (found == plainly(*masks, *names)).all()


def test_each_side_has_its_own_category():
    a, b = np.array([[1, 0, 1, 2, 0, 3]], np.uint8), np.array([[2, 2, 0, 2, 0, 0]], np.uint8)
    found = difference.difference_map(a, b, NAMES_A, NAMES_B)
    assert found.tolist() == [[SAME, ONLY_B, ONLY_A, OTHER, BOTH_BACKGROUND, UNCOMPARED]]
    swapped = difference.difference_map(b, a, NAMES_B, NAMES_A)
    assert swapped.tolist() == [[SAME, ONLY_A, ONLY_B, OTHER, BOTH_BACKGROUND, UNCOMPARED]]
    assert difference.count_categories(found) == {c.key: 1 for c in CATEGORIES}


def test_the_picture_holds_the_categories_and_shows_what_differs():
    found = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
    with Image.open(io.BytesIO(difference.encode_difference_png(found))) as picture:
        assert picture.mode == "P"
        assert (np.array(picture) == found).all()
        colours = [picture.convert("RGBA").getpixel((value % 3, value // 3)) for value in range(6)]
    assert colours[ONLY_A] == (0x00, 0x72, 0xB2, 255)
    assert colours[ONLY_B] == (0xE6, 0x9F, 0x00, 255)
    assert colours[OTHER] == (0xD6, 0x17, 0x7F, 255)
    assert [alpha for *_, alpha in colours] == [category.opacity for category in CATEGORIES]
    assert colours[BOTH_BACKGROUND][3] == 0
