"""Class names and colour palettes (uint8 (C, 3) RGB) for masks, overlays, charts and exports."""

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seglib.colours import choose_colours
from seglib.errors import UnknownName, UsageError

VOC_CLASSES: tuple[str, ...] = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus"),
    *("car", "cat", "chair", "cow", "diningtable", "dog", "horse"),
    *("motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 21 Pascal VOC classes in torchvision's order; index = value in a mask."""

BACKGROUND = "background"
VOID = 255
"""Mask value of ground-truth pixels to ignore (VOC marks object borders with it)."""

Mask = NDArray[np.uint8]
"""uint8 (H, W): an index into the class names per pixel, or `VOID`."""

ANIMALS: tuple[str, ...] = ("cat", "dog")
"""Classes considered by `animal`, in index order; ties go to the first."""

PRESENT_SHARE = 0.005
"""Minimum share of an image's pixels for a class to count as present; also the minimum size of a blob."""

PALETTES: tuple[str, ...] = ("voc", "okabe-ito", "random")

_MAX_CLASS_NAME_LENGTH = 200

_ANIMAL_LABELS = {"cat": "cat", "cats": "cat", "dog": "dog", "dogs": "dog"}

# Okabe & Ito's colours (https://jfly.uni-koeln.de/color/) for the main classes. The others were found by search: no two
# classes are closer than the closest two of Okabe & Ito's, for normal, protan, deutan and tritan vision.
_OKABE_ITO_COLOURS = {
    "background": 0x9AA0A6,
    "cat": 0x56B4E9,
    "dog": 0xE69F00,
    "person": 0xCC79A7,
    "sheep": 0x009E73,
    "horse": 0xD55E00,
    "cow": 0xF0E442,
    "bird": 0x0072B2,
    "aeroplane": 0x772211,
    "bicycle": 0x99FFFF,
    "boat": 0x114477,
    "bottle": 0xAA33FF,
    "bus": 0xAACCBB,
    "car": 0x994444,
    "chair": 0x6600BB,
    "diningtable": 0xBBEEAA,
    "motorbike": 0x775577,
    "pottedplant": 0x77DDFF,
    "sofa": 0xDDBB77,
    "train": 0x8877DD,
    "tvmonitor": 0x0000EE,
}


def are_valid_class_names(names: Sequence[object]) -> bool:
    """Check for 1 to 255 unique names of 1 to 200 printable characters each.

    Names are used in column names, and their indices must fit a uint8 mask with 255 reserved for void.
    """
    return (
        0 < len(names) <= VOID
        and all(
            isinstance(name, str) and name.isprintable() and 0 < len(name) <= _MAX_CLASS_NAME_LENGTH for name in names
        )
        and len(set(names)) == len(names)
    )


def unpainted_values(classes: Sequence[str]) -> tuple[int, ...]:
    """Mask values that overlays leave as in the photo: the background's index, if there is that class, and void."""
    return (*(index for index, name in enumerate(classes) if name == BACKGROUND), VOID)


def animal_of_label(label: str | None) -> str | None:
    """Map a folder name to an animal: `cats` -> cat, `Dog` -> dog; other names and None -> None."""
    return _ANIMAL_LABELS.get((label or "").strip().lower())


def palette(name: str, classes: Sequence[str] = VOC_CLASSES) -> NDArray[np.uint8]:
    """Return one RGB colour per class, uint8 (C, 3). Raises `UnknownName` for other palette names.

    `voc`: the palette of the Pascal VOC devkit, by index. `okabe-ito`: by class name, told apart by
    colour-blind eyes as far as the number of classes allows; a name has mostly the same colour in every list.
    `random` or `random:SEED`: evenly spaced hues, shuffled with the seed (default 0); the background is black.
    """
    kind, _, seed = name.partition(":")
    if kind == "voc" and not seed:
        return _voc_palette(len(classes))
    if kind == "okabe-ito" and not seed:
        return _okabe_ito_palette(tuple(classes)).copy()
    if kind == "random":
        return _random_palette(len(classes), _parse_seed(seed))
    raise UnknownName("palette", name, ("voc", "okabe-ito", "random", "random:SEED"))


def _parse_seed(text: str) -> int:
    if text and not text.isdecimal():
        raise UsageError(f"The seed of a random palette is a whole number, not {text!r}: for instance random:7.")
    return int(text or 0)


def _voc_palette(count: int) -> NDArray[np.uint8]:
    """VOCdevkit's VOClabelcolormap: index bits 0, 1, 2 (then 3, 4, 5, ...) fill R, G, B from the top bit down."""
    index = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)  # (C, 3)
    for depth in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * depth + channel)) & 1) << (7 - depth)).astype(np.uint8)
    return colours


@lru_cache(maxsize=64)
def _okabe_ito_palette(classes: tuple[str, ...]) -> NDArray[np.uint8]:
    colours = choose_colours(classes, _OKABE_ITO_COLOURS)
    return np.array([[colours[n] >> 16, colours[n] >> 8 & 255, colours[n] & 255] for n in classes], np.uint8)


def _random_palette(count: int, seed: int) -> NDArray[np.uint8]:
    hues = np.random.default_rng(seed).permutation(max(count - 1, 0)) / max(count - 1, 1)
    colours = [(0.0, 0.0, 0.0), *(colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues)][:count]
    return np.rint(np.array(colours, np.float64).reshape(count, 3) * 255).astype(np.uint8)


def class_lookup(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.uint8]:
    """uint8 (256,): mask value, an index into `names` -> index of the same name in `classes`; `VOID` if it has none."""
    table = np.full(256, VOID, np.uint8)
    table[: len(names)] = [classes.index(name) if name in classes else VOID for name in names]
    return table
