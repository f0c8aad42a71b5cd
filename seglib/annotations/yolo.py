"""Read a folder of YOLO segmentation labels as masks.

A label file has a line per polygon, `class x1 y1 x2 y2 ...`, with coordinates from 0 to 1, and the class names are in
`data.yaml` or `classes.txt`. Where polygons overlap, the smaller one lies on top and, of equals, the later one, as when
ultralytics trains on them. Pixels in no polygon are background, and so is a file without lines.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seglib.annotations.class_names import drop_numbers
from seglib.annotations.coco import is_background
from seglib.classes import BACKGROUND, VOID, Mask, are_valid_class_names
from seglib.data import image
from seglib.errors import BadImage, DatasetError, UsageError
from seglib.masks.shapes import paint_shapes, rasterize

YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")

CLASSES_NAME = "classes.txt"

_LABELS = "labels"

_TOLERANCE = 0.01  # how far a coordinate may leave 0..1, as in ultralytics

_SCALAR = (
    r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|"""
    r"""(?![-?] )[^\s,\[\]{}'":#&*!|>%@`](?:[^\s,\[\]{}:#]|:(?=\S)|(?<=\S)#|[ \t]+(?=[^\s#]))*"""
)
"""A text in YAML: in single or double quotes, or plain."""


@dataclass(frozen=True, eq=False)
class YoloFolder:
    """Label files that are open for reading; can be pickled."""

    path: Path
    classes: tuple[str, ...]
    """Background first, then the named classes in their order."""
    names: tuple[str, ...]
    """Label files, relative to `path` with `/`, sorted."""
    _indices: tuple[int, ...]
    """Class number in the label files -> index into `classes`."""

    @property
    def numbering(self) -> tuple[int, ...]:
        """Class number in the label files -> index into `classes`."""
        return self._indices

    def mask(self, name: str, size_wh: tuple[int, int]) -> Mask:
        """Return uint8 (H, W): indices into `classes`, at the photo's size in pixels.

        Raises `DatasetError` if this file cannot be used; others may be sound.
        """
        width, height = size_wh
        try:
            shapes = [
                (self._indices[number], False, rasterize([polygon], size_wh))
                for number, polygon in self._read_polygons(name, np.array([width, height]))
            ]
        except ValueError as error:
            raise DatasetError(f"The labels {name!r} cannot be used: {error}") from None
        return paint_shapes(shapes, size_wh)

    def _read_polygons(self, name: str, size_wh: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield class number and polygon x1, y1, x2, y2, ... in pixels per line. Raises `ValueError`."""
        for position, line in enumerate(_read_text(self.path / name).splitlines(), 1):
            if not (words := line.split()):
                continue
            try:
                numbers = [float(word) for word in words]
            except ValueError:
                raise ValueError(f"line {position} holds something that is not a number.") from None
            problem = _find_problem(numbers, len(self._indices))
            if problem:
                raise ValueError(f"line {position} {problem}")
            points = np.array(numbers[1:], np.float64).reshape(-1, 2) * size_wh
            yield int(numbers[0]), points.ravel()


def read_yolo(
    folder: Path, classes: Sequence[str] | None = None, *, default: Sequence[str] | None = None
) -> YoloFolder:
    """List the label files below a folder and read the names of their classes.

    If there are folders called `labels` below, only files in these are label files. `classes` are the names in the
    order of YOLO's numbers; by default they are read from the folder or one of the two above it, or are `default` where
    there are none. One that is called background is the background. Raises `DatasetError`.
    """
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds the YOLO labels.")
    names = _list_labels(folder)
    if not names:
        raise DatasetError(f"No YOLO labels below {folder.name!r}: expected a .txt file per photo.")
    found = tuple(classes) if classes is not None else _find_class_names(folder) or tuple(default or ())
    if classes is None and not found:
        raise DatasetError(
            f"The YOLO labels below {folder.name!r} come without the names of their classes (data.yaml or "
            "classes.txt): give them in the order of their numbers with `classes`."
        )
    numbered = tuple(BACKGROUND if is_background(name) else name for name in found)
    named = (BACKGROUND, *(name for name in numbered if name != BACKGROUND))
    if not are_valid_class_names(numbered) or len(named) > VOID:
        raise DatasetError(
            f"The YOLO labels below {folder.name!r} have {len(found)} class names: expected 1 to {VOID - 1} different "
            "names of printable characters."
        )
    return YoloFolder(folder, named, names, tuple(named.index(name) for name in numbered))


def parse_names(text: str) -> tuple[str, ...] | None:
    """Return the class names of a data.yaml, None if it has no `names`. Raises `ValueError`.

    Reads the forms in which they are written: `[a, b]`, `{0: a, 1: b}`, lines `- a`, and lines `0: a`.
    """
    match = re.search(r"^names[ \t]*:", text, re.M)
    if match is None:
        return None
    names = _parse_value(text[match.end() :])
    count = re.search(r"^nc[ \t]*:[ \t]*(\d+)", text, re.M)
    if count is not None and int(count[1]) != len(names):
        raise ValueError(f"it says nc: {count[1]}, and has {len(names)} names")
    return names


def _find_problem(numbers: Sequence[float], classes: int) -> str:
    """Say what is wrong with a line, "" if nothing is."""
    number, coordinates = numbers[0], numbers[1:]
    if not all(math.isfinite(value) for value in numbers):
        return "holds a number that is not finite."
    if number != int(number) or not 0 <= number < classes:
        return f"has the class {number:g}, and there are the classes 0 to {classes - 1}."
    if len(coordinates) == 4:
        return "is a box, as in detection labels, and says nothing of its pixels: expected a polygon."
    if len(coordinates) % 2 or len(coordinates) < 6:
        return (
            f"has {len(coordinates)} numbers after the class: expected x and y of at least 3 points "
            "(leave out confidences)."
        )
    if not (min(coordinates) >= -_TOLERANCE and max(coordinates) <= 1 + _TOLERANCE):
        return "has a coordinate outside of 0 to 1: expected shares of the photo's width and height, not pixels."
    return ""


def has_labels(folder: Path) -> bool:
    """Whether there is a label file below the folder."""
    return folder.is_dir() and bool(_list_labels(folder))


def _list_labels(folder: Path) -> tuple[str, ...]:
    files = [file.relative_to(folder) for file in folder.rglob("*.txt") if file.is_file()]
    files = [file for file in files if not any(part.startswith(".") for part in file.parts)]
    in_labels = [file for file in files if _LABELS in file.parts[:-1]]
    chosen = in_labels or [file for file in files if file.name != CLASSES_NAME]
    return tuple(sorted(file.as_posix() for file in chosen))


def _find_class_names(folder: Path) -> tuple[str, ...]:
    """Read the names from the nearest folder that has them; empty if none has."""
    resolved = folder.resolve()
    for place in (resolved, *resolved.parents[:2]):
        found = {file.name: names for file in _name_files(place) if (names := _read_names(file))}
        if len(set(found.values())) > 1:
            raise DatasetError(
                f"{' and '.join(map(repr, found))} in {place.name!r} name different classes: leave one of them out."
            )
        for names in found.values():
            return names
    return ()


def _name_files(folder: Path) -> list[Path]:
    return [file for name in (*YAML_NAMES, CLASSES_NAME) if (file := folder / name).is_file()]


def _read_names(file: Path) -> tuple[str, ...] | None:
    try:
        text = _read_text(file)
        if file.name == CLASSES_NAME:
            return drop_numbers(tuple(line.strip() for line in text.splitlines() if line.strip()), "it")
        return parse_names(text)
    except (ValueError, UsageError) as error:
        raise DatasetError(
            f"The class names in {file.name!r} cannot be read ({str(error).rstrip('.')}): give them with `classes`."
        ) from None


def _read_text(file: Path) -> str:
    """Read UTF-8, with or without a byte-order mark. Raises `ValueError`."""
    try:
        return image.read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text.") from None
    except BadImage as error:
        if error.reason == "empty":
            return ""
        raise ValueError(error.detail) from None


# --- the little of YAML that names are written in ------------------------------------------------------------------


def _parse_value(text: str) -> tuple[str, ...]:
    """Parse the list or mapping at the beginning of the text. Raises `ValueError`."""
    head = re.match(r"[ \t]*", text)
    assert head is not None
    rest = text[head.end() :]
    if rest.startswith(("[", "{")):
        return _parse_flow(rest)
    first, *lines = text.split("\n")
    if re.fullmatch(r"\s*(#.*)?", first) is None:
        raise ValueError(f"names is {first.strip()[:40]!r}, expected a list")
    items: list[tuple[str | None, str]] = []
    for line in lines:
        if re.fullmatch(r"\s*(#.*)?", line):
            continue
        match = re.fullmatch(rf"(?:\s*-\s+|\s+(\d+)\s*:\s+)({_SCALAR})\s*(?:\s#.*)?", line.rstrip())
        if match is None:
            if re.match(r"\s|-", line):
                raise ValueError(f"the line {line.strip()[:40]!r} is not understood")
            break  # the next key
        items.append((match[1], match[2]))
    return _order(items)


def _parse_flow(text: str) -> tuple[str, ...]:
    """Parse `[a, b]` or `{0: a, 1: b}`, on one line or several."""
    key = r"(\d+)\s*:\s+" if text[0] == "{" else r"()"
    close = "}" if text[0] == "{" else "]"
    items: list[tuple[str | None, str]] = []
    position = 1
    space = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*")
    while True:
        position = _end(space, text, position)
        if text[position : position + 1] == close:
            return _order(items)
        match = re.compile(rf"{key}({_SCALAR})").match(text, position)
        if match is None:
            raise ValueError(f"{text[position : position + 40]!r} is not understood")
        items.append((match[1] or None, match[2].strip()))
        position = _end(space, text, match.end())
        if text[position : position + 1] == ",":
            position += 1
        elif text[position : position + 1] != close:
            raise ValueError(f"{text[position : position + 40]!r} is not understood")


def _end(pattern: "re.Pattern[str]", text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def _order(items: Sequence[tuple[str | None, str]]) -> tuple[str, ...]:
    """Return the names by their numbers, or in their order if they have none. Raises `ValueError`."""
    keys = [key for key, _ in items if key is not None]
    if keys and sorted(int(key) for key in keys) != list(range(len(items))):
        raise ValueError(f"the numbers of its names are not 0 to {len(items) - 1}")
    ordered = sorted(items, key=lambda item: int(item[0] or 0)) if keys else items
    if not ordered:
        raise ValueError("it has no names")
    return tuple(_unquote(value) for _, value in ordered)


def _unquote(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        return str(json.loads(text))  # YAML's escapes of what is printable are JSON's
    return text.strip()
