"""Class names as people write them: lists in files, colour maps, and which names mean the same class."""

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

_IRREGULAR_PLURALS = {
    "people": "person",
    "men": "man",  # women, policemen
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "cacti": "cactus",
}
"""Ends of English plurals -> ends of their singulars."""

_ES_ENDINGS = ("ses", "xes", "zes", "ches", "shes", "oes")

_NO_CONTENT = ("none", "void", "ignore", "unlabeled", "unlabelled", BACKGROUND)
"""Names of which no folder of photos is one: a label that is called so names no class."""


def canonical_name(name: str) -> str:
    """The form in which two names of one class are equal: `Dining table`, `dining_table` and `diningtable`."""
    folded = name.strip().casefold()
    if folded in _BACKGROUND_NAMES:
        return BACKGROUND
    bare = re.sub(r"[\s_-]+", "", folded) or folded
    return _SYNONYMS.get(bare, bare)


def fold_label(label: str) -> str:
    """The form in which two spellings of a label are equal: without case, `_`, `-`, spaces and kinds of accents."""
    folded = unicodedata.normalize("NFC", label).strip().casefold()
    return re.sub(r"[\s_-]+", "", folded) or folded


def match_labels(labels: Iterable[str], classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Label -> the classes that it may mean: none, one, or several that fit it equally well.

    A class fits best if the names are equal by `canonical_name`, then if one of its synonyms is (`windowpane, window`),
    then if one of the names is the English plural of the other. The background and void are not matched.
    """
    by_name, by_part, by_singular = (_ClassIndex() for _ in range(3))
    for name in classes:
        if canonical_name(name) in _NO_CONTENT:
            continue
        by_name.add(name, [canonical_name(unicodedata.normalize("NFC", name))])
        parts = [canonical_name(unicodedata.normalize("NFC", part)) for part in re.split("[,;]", name)]
        by_part.add(name, parts)
        by_singular.add(name, (form for part in parts for form in singular_forms(part)))
    found = {}
    for label in labels:
        name = canonical_name(unicodedata.normalize("NFC", label))
        forms = [] if name in _NO_CONTENT else singular_forms(name)
        tiers = (
            by_name.find([name]),
            by_part.find([name]),
            by_part.find(forms),
            by_singular.find([name]),
            by_singular.find(forms),
        )
        found[label] = next((tier for tier in tiers if tier), ())
    return found


class _ClassIndex:
    """Form of a name -> the classes that have it."""

    def __init__(self) -> None:
        self._classes: dict[str, list[str]] = {}

    def add(self, name: str, forms: Iterable[str]) -> None:
        for form in set(forms) - {""}:
            self._classes.setdefault(form, []).append(name)

    def find(self, forms: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for form in forms for name in self._classes.get(form, ())))


def singular_forms(name: str) -> list[str]:
    """What an English plural may be the plural of, as `canonical_name` gives it: `buses` -> `buse`, `bus`."""
    return list(dict.fromkeys(canonical_name(form) for form in _singulars(name)))


def _singulars(plural: str) -> Iterator[str]:
    for end, singular in _IRREGULAR_PLURALS.items():
        if plural.endswith(end):
            yield plural.removesuffix(end) + singular
    if len(plural) < 3 or not plural.endswith("s") or plural.endswith("ss"):
        return
    yield plural[:-1]
    if plural.endswith(_ES_ENDINGS):
        yield plural[:-2]
    if plural.endswith("ies"):
        yield plural[:-3] + "y"
    if plural.endswith("ves"):
        yield from (plural[:-3] + "f", plural[:-3] + "fe")


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


def read_label_map(file: Path) -> dict[str, str]:
    """Read which class each label names: lines `label = class`, or CSV with two columns. Raises `UsageError`.

    A label without a class, `label =`, names none. A file whose lines have no `=` is CSV, and so is one that ends in
    `.csv`; its first line may be `label,class`.
    """
    lines = read_text_lines(file)
    is_csv = file.suffix.lower() == ".csv" or not any("=" in line for line in lines)
    pairs = _parse_csv_pairs(file, lines) if is_csv else [_parse_pair(file, line) for line in lines if line[0] != "#"]
    return clean_label_map(pairs, repr(file.name))


def clean_label_map(pairs: Iterable[tuple[str, str]], source: str) -> dict[str, str]:
    """Label -> class, or `""` for none, without surrounding spaces. Raises `UsageError` for a contradiction."""
    label_map: dict[str, str] = {}
    folded: dict[str, str] = {}
    for label, name in ((label.strip(), name.strip()) for label, name in pairs):
        if not label or not are_valid_class_names([name or "none"]):
            raise UsageError(f"{source} maps {label[:80]!r} to {name[:80]!r}: expected a label and a class's name.")
        if canonical_name(name) in _NO_CONTENT:
            raise UsageError(f"{source} maps {label[:80]!r} to {name!r}: leave the class empty if it names none.")
        if folded.setdefault(fold_label(label), name) != name:
            raise UsageError(f"{source} maps {label[:80]!r} twice, to {folded[fold_label(label)]!r} and to {name!r}.")
        label_map[label] = name
    if not label_map:
        raise UsageError(f"{source} maps no label: expected lines such as tabby = cat.")
    return label_map


def _parse_pair(file: Path, line: str) -> tuple[str, str]:
    """`label = class`; a name may hold an = itself if the one between them has spaces around it."""
    for separator in (" = ", "="):
        if line.count(separator) == 1:
            label, _, name = line.partition(separator)
            return label, name
    raise UsageError(f"{file.name!r} has the line {line[:80]!r}: expected label = class, with one = between them.")


def _parse_csv_pairs(file: Path, lines: Sequence[str]) -> list[tuple[str, str]]:
    rows = list(csv.reader(lines, skipinitialspace=True))
    if bad := next((row for row in rows if len(row) != 2), None):
        raise UsageError(
            f"{file.name!r} has the line {','.join(bad)[:80]!r}: expected label = class, or CSV with two columns, "
            "label,class, where a name with a comma stands in double quotes."
        )
    has_header = bool(rows) and [cell.strip().casefold() for cell in rows[0]] == ["label", "class"]
    return [(label, name) for label, name in rows[has_header:]]


def name_classes(
    labels: Iterable[str], classes: Sequence[str], label_map: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """`match_labels`, where a label that the map names stands for the name that it has there."""
    folded = {fold_label(label): name for label, name in label_map.items()}
    names = {label: folded.get(fold_label(label), label) for label in labels}
    found = match_labels(set(names.values()) - {""}, classes)
    return {label: found.get(name, ()) for label, name in names.items()}


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
