"""Class names and their colours, for masks, overlays, charts, legends and exports alike.

In: class names. Out: tuples of names, uint8 (C, 3) RGB palettes. Knows nothing of nets, files or pictures.
"""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seglib.errors import UnknownName, UsageError

VOC_CLASSES: tuple[str, ...] = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus"),
    *("car", "cat", "chair", "cow", "diningtable", "dog", "horse"),
    *("motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 21 Pascal VOC classes in torchvision's order; index = value in a mask."""

BACKGROUND = "background"
VOID = 255
"""Pixels of a ground truth that nobody is asked about (VOC paints them as object borders)."""

ANIMALS: tuple[str, ...] = ("cat", "dog")
"""The classes that `animal` chooses from, in index order: a tie goes to the first."""

PRESENT_SHARE = 0.005
"""A class is present in a photo from this share of its pixels on; also the least size of a blob."""

PALETTES: tuple[str, ...] = ("voc", "okabe-ito", "random")

_LONGEST_NAME = 200

_ANIMAL_LABELS = {"cat": "cat", "cats": "cat", "dog": "dog", "dogs": "dog"}

# Okabe & Ito's colours (https://jfly.uni-koeln.de/color/) for what the photos are about. The rest was searched so that
# no two classes come nearer to each other than two of those do, for normal, protan, deutan and tritan eyes alike.
_SAFE_COLOURS = {
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


def are_class_names(names: Sequence[object]) -> bool:
    """1 to 255 different ones, each of 1 to 200 printable characters: they become columns, their indices a mask."""
    return (
        0 < len(names) <= VOID
        and all(isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST_NAME for name in names)
        and len(set(names)) == len(names)
    )


def animal_of_label(label: str | None) -> str | None:
    """The animal that a folder name claims: `cats` and `Dog` claim one, `others` and None claim nothing."""
    return _ANIMAL_LABELS.get((label or "").strip().lower())


def palette(name: str, classes: Sequence[str] = VOC_CLASSES) -> NDArray[np.uint8]:
    """uint8 (C, 3) RGB, one colour per class.

    `voc`: the palette of the Pascal VOC devkit, by index. `okabe-ito`: safe for colour-blind eyes, by class name.
    `random` or `random:SEED`: hues evenly spaced and shuffled by the seed (default 0), background black.
    """
    kind, _, seed = name.partition(":")
    if kind == "voc" and not seed:
        return _voc_palette(len(classes))
    if kind == "okabe-ito" and not seed:
        return _safe_palette(classes)
    if kind == "random":
        return _random_palette(len(classes), _seed(seed))
    raise UnknownName("palette", name, ("voc", "okabe-ito", "random", "random:SEED"))


def _seed(text: str) -> int:
    if text and not text.isdecimal():
        raise UsageError(f"The seed of a random palette is a whole number, not {text!r}: for instance random:7.")
    return int(text or 0)


def _voc_palette(count: int) -> NDArray[np.uint8]:
    """The bit interleaving of VOCdevkit's VOClabelcolormap: bits 0, 1, 2 of the index fill R, G, B from the top."""
    index = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)  # (C, 3)
    for depth in range(8):
        for channel in range(3):
            colours[:, channel] |= (((index >> (3 * depth + channel)) & 1) << (7 - depth)).astype(np.uint8)
    return colours


def _safe_palette(classes: Sequence[str]) -> NDArray[np.uint8]:
    """Known names keep their colour in every run; other names take the colours that are left, in order."""
    spare = [colour for name, colour in _SAFE_COLOURS.items() if name not in classes] or list(_SAFE_COLOURS.values())
    unknown = [name for name in classes if name not in _SAFE_COLOURS]
    colours = _SAFE_COLOURS | {name: spare[i % len(spare)] for i, name in enumerate(unknown)}
    return np.array([[colours[n] >> 16, colours[n] >> 8 & 255, colours[n] & 255] for n in classes], np.uint8)


def _random_palette(count: int, seed: int) -> NDArray[np.uint8]:
    hues = np.random.default_rng(seed).permutation(max(count - 1, 0)) / max(count - 1, 1)
    colours = [(0.0, 0.0, 0.0), *(colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues)][:count]
    return np.rint(np.array(colours, np.float64).reshape(count, 3) * 255).astype(np.uint8)
