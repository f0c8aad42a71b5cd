"""Masks that look implausible, small enough to check by eye."""

import numpy as np
import pytest

from seglib.classes import VOID
from seglib.masks.oddities import find_oddities

CLASSES = ("background", "cat", "dog", "sofa")


def mask_of(text: str) -> np.ndarray:
    names = {".": 0, "c": 1, "d": 2, "s": 3, " ": VOID}
    return np.array([[names[letter] for letter in line] for line in text.split("/")], np.uint8)


@pytest.mark.parametrize(
    ("text", "cut_class", "cut_share"),
    [
        ("...../.ccc./.ccc./.ccc./.....", None, 0),  # whole
        ("...../...../.ccc./.ccc./.ccc.", "cat", 3 / 8),  # cut below: 3 of the 8 pixels of its outline
        ("ccccc/ccccc/ccccc", "cat", 1),  # fills the photo: all of its outline is the frame
        ("sss../...../..ccc/..ccc/..ccc", "sofa", 1),  # of two, the one that is cut most
        ("...../.....", None, 0),
        ("     /     ", None, 0),  # all void
    ],
)
def test_a_class_is_cut_by_as_much_of_its_outline_as_lies_on_the_frame(text, cut_class, cut_share):
    found = find_oddities(mask_of(text), CLASSES)
    assert (found["cut_class"], found["cut_share"]) == (cut_class, pytest.approx(cut_share))


@pytest.mark.parametrize(
    ("text", "pair", "share"),
    [
        ("....../.cccc./.cddc./.cccc./......", ("cat", "dog"), 2 / 12),  # a dog within a cat
        ("ccccc/ccccc/...../ddddd", (None, None), 0),  # two regions
        ("ccccc/cssss/ccccc", (None, None), 0),  # a sofa is no animal
        ("....../......", (None, None), 0),
    ],
)
def test_two_animals_in_one_region_are_a_mixture(text, pair, share):
    found = find_oddities(mask_of(text), CLASSES)
    assert (found["mixed_class"], found["mixed_with"]) == pair
    assert found["mixed_share"] == pytest.approx(share)


def test_animals_that_touch_are_less_interleaved_than_patches_of_one_in_the_other():
    beside = np.zeros((40, 60), np.uint8)
    beside[10:30, 10:30], beside[10:30, 30:50] = 1, 2
    patches = np.zeros((40, 60), np.uint8)
    patches[10:30, 10:50] = 1
    for left in (14, 24, 34):
        patches[14:26, left : left + 6] = 2
    assert find_oddities(beside, CLASSES)["interleaved"] == pytest.approx(20 / (2 * np.sqrt(np.pi * 400)))
    assert find_oddities(patches, CLASSES)["interleaved"] == 1


def test_a_speck_of_another_animal_is_no_mixture():
    mask = np.full((50, 50), 1, np.uint8)
    mask[:5, :20] = 2  # 4 % of the region
    assert find_oddities(mask, CLASSES)["mixed_class"] is None
