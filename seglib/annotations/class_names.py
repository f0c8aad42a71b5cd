"""Class names as people write them: lists in files, colour maps, and which names mean the same class."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seglib.classes import BACKGROUND, VOC_CLASSES, VOID, are_valid_class_names, class_lookup, palette
from seglib.errors import UsageError
from seglib.fileio.text_file import read_text_lines

Colour = tuple[int, int, int]

VOID_COLOUR: Colour = (224, 224, 192)
"""The colour of void in Pascal VOC's palette: index 255."""

_IGNORE_LINE = "__ignore__"  # first line of labelme's lists: the class of value -1, which is void

_OTHER_FILES = (".yaml", ".yml", ".json", ".xml")

_BACKGROUND_NAMES = ("background", "__background__", "_background_")

_VOID_NAMES = ("void", "ignore", "unlabeled", "unlabelled")

_SYNONYMS = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "tv": "tvmonitor",
}
"""Names of COCO -> names of Pascal VOC for the same class, as in torchvision's COCO_WITH_VOC_LABELS weights."""


def canonical_name(name: str) -> str:
    """The form in which two names of one class are equal: `Dining table`, `dining_table` and `diningtable`."""
    folded = name.strip().casefold()
    if folded in _BACKGROUND_NAMES:
        return BACKGROUND
    bare = re.sub(r"[\s_-]+", "", folded) or folded
    return _SYNONYMS.get(bare, bare)


def clean_names(names: tuple[str, ...], source: str) -> tuple[str, ...]:
    """Check a list of class names; every name of the background becomes `background`. Raises `UsageError`.

    labelme's first line, `__ignore__`, names the void pixels and is left out.
    """
    if names and names[0] == _IGNORE_LINE:
        names = names[1:]
    names = tuple(BACKGROUND if canonical_name(name) == BACKGROUND else name for name in names)
    meanings = [canonical_name(name) for name in names]
    if twice := next((name for name, one in zip(names, meanings, strict=True) if meanings.count(one) > 1), None):
        raise UsageError(f"{source} names the class {twice!r} twice, in whatever spelling: expected different names.")
    if not are_valid_class_names(names):
        raise UsageError(
            f"{source} names {len(names)} classes: expected 1 to {VOID} different names, one per line, "
            "of printable characters."
        )
    return names


def read_class_names(file: Path) -> tuple[str, ...]:
    """Read class names from a text file, one per line in index order. Raises `UsageError`.

    Lines may begin with their index, as in `0 background`, `0: background` or `0,background`.
    """
    if file.suffix.lower() in _OTHER_FILES:
        raise UsageError(
            f"{file.name!r} is no list of class names: expected a text file with one name per line, or a,b,c."
        )
    return clean_names(drop_numbers(read_text_lines(file), repr(file.name)), repr(file.name))


def drop_numbers(lines: tuple[str, ...], source: str) -> tuple[str, ...]:
    """The names in index order, if each line but one that names columns begins with a number; else the lines.

    Raises `UsageError` if the numbers are not those from 0 on.
    """
    numbered = [re.fullmatch(r"(\d+)(?:\s*[:;,=\t]\s*|\s+)(\S.*)", line) for line in lines]
    if len(numbered) > 1 and numbered[0] is None and re.fullmatch(r"(id|index|class|idx)\W.*", lines[0], re.I):
        numbered = numbered[1:]
    named = {int(match[1]): match[2] for match in numbered if match is not None}
    if not numbered or any(match is None for match in numbered):
        return lines
    if sorted(named) != list(range(len(numbered))):
        raise UsageError(
            f"{source} numbers its classes {', '.join(str(int(match[1])) for match in numbered[:3] if match)}, ...: "
            "expected each number from 0 on once; leave the numbers out, or name the missing classes."
        )
    return tuple(named[number] for number in sorted(named))


def parse_class_names(text: str) -> tuple[str, ...]:
    """Read class names as given on the command line: `a,b,c`, or the path of a file. Raises `UsageError`."""
    if Path(text).is_file():
        return read_class_names(Path(text))
    if "," not in text and ("/" in text or text.endswith(".txt")):
        raise UsageError(f"The classes {text!r} are no file: expected a text file with one name per line, or a,b,c.")
    return clean_names(tuple(name.strip() for name in text.split(",")), f"{text!r}")


def as_class_names(classes: Sequence[str] | str | os.PathLike[str] | None) -> tuple[str, ...] | None:
    """Class names from a sequence of them, or from the path of a file. Raises `UsageError`."""
    if classes is None:
        return None
    if isinstance(classes, str | os.PathLike):
        return read_class_names(Path(classes))
    return clean_names(tuple(classes), "`classes`")


def voc_colours() -> dict[Colour, int]:
    """The colours of Pascal VOC's palette -> class index; void's colour -> 255."""
    colours = {tuple(colour): index for index, colour in enumerate(palette("voc", VOC_CLASSES).tolist())}
    return {(r, g, b): index for (r, g, b), index in colours.items()} | {VOID_COLOUR: VOID}


def drop_void(classes: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Leave out classes that are called `void`, `ignore` or `unlabeled`.

    Returns the other classes, and uint8 (256,): index into `classes` -> index into the others, or 255.
    """
    others = tuple(name for name in classes if canonical_name(name) not in _VOID_NAMES)
    return others, class_lookup(classes, others)


def read_labelmap(file: Path) -> tuple[tuple[str, ...], dict[Colour, int]]:
    """Read CVAT's labelmap.txt: class names, `background` first, and colour -> index. Raises `UsageError`.

    Lines are `name:r,g,b:parts:actions`, or `name:r,g,b`; those that begin with # are comments
    (https://docs.cvat.ai/docs/dataset_management/formats/format-smask/). A class called `void`, `ignore` or
    `unlabeled` is read as void.
    """
    named: dict[str, Colour] = {}
    void: list[Colour] = []
    for line in read_text_lines(file):
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"(.+?):(\d{1,3}),\s*(\d{1,3}),\s*(\d{1,3})(:.*)?", line)
        if match is None or max(colour := (int(match[2]), int(match[3]), int(match[4]))) > 255:
            raise UsageError(f"{file.name!r} has the line {line[:80]!r}: expected name:red,green,blue:: of 0 to 255.")
        name = BACKGROUND if canonical_name(match[1]) == BACKGROUND else match[1].strip()
        if canonical_name(name) in _VOID_NAMES:
            void.append(colour)
        elif name in named:
            raise UsageError(f"{file.name!r} names the class {name!r} twice: leave one line out.")
        else:
            named[name] = colour
    classes = tuple(sorted(named, key=lambda name: name != BACKGROUND))  # stable: the others keep their order
    colours = {named[name]: index for index, name in enumerate(classes)} | dict.fromkeys(void, VOID)
    if len(colours) != len(named) + len(void):
        raise UsageError(f"{file.name!r} gives one colour to two classes: their pixels cannot be told apart.")
    if not are_valid_class_names(classes):
        raise UsageError(f"{file.name!r} names {len(classes)} classes: expected 1 to {VOID}, as name:red,green,blue::.")
    return classes, colours
