"""Decide how a folder's masks are to be read, from a sample of them (`decide_reading`).

What contradicts itself, or fits two readings, is refused with the options that settle it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seglib.annotations.class_names import Colour, canonical_name, voc_colours
from seglib.annotations.options import AUTO, MaskOptions
from seglib.annotations.raw_mask import RawMask
from seglib.annotations.reading import Reading, binary_values, pack, unpack, used_colours
from seglib.annotations.trimap import TRIMAP_CLASSES, TRIMAP_VALUES
from seglib.classes import BACKGROUND, VOC_CLASSES, VOID
from seglib.errors import DatasetError, UsageError

_VOC_VALUES = frozenset(range(len(VOC_CLASSES)))
_MANY_COLOURS = 1000  # more colours than any labelling tool gives: a photo
_COUNTED_FROM_ONE = (0.1, 0.3)  # at most this share of value 0, at least this share of value 1

Labelmap = tuple[tuple[str, ...], dict[Colour, int]]
_CITYSCAPES = ("labelids", "labeltrainids", "instanceids")  # what the names of its masks end in


@dataclass
class Evidence:
    """What a sample of the masks holds."""

    masks: int = 0
    in_colour: int = 0
    """Masks that are RGB in colours."""
    photos: int = 0
    """Masks with more colours than a mask has."""
    colours: Counter[int] = field(default_factory=Counter)
    """0xRRGGBB -> pixels, of the RGB masks."""
    values: Counter[int] = field(default_factory=Counter)
    """Value, or palette index -> pixels, of the other masks."""
    by_mask: list[frozenset[int]] = field(default_factory=list)
    """The values of each of them."""
    palettes: list[dict[int, int]] = field(default_factory=list)
    """Of each palette mask that is not a grey ramp: index -> 0xRRGGBB, of the entries used."""
    greys: set[int] = field(default_factory=set)
    """The values of the masks without a palette."""
    binary: Counter[int] = field(default_factory=Counter)
    """Values as in a binary mask, where black is 0 whatever its index, -> pixels."""

    def add(self, raw: RawMask) -> None:
        if raw.is_black:  # fits every format
            self.values[0] += raw.size_wh[0] * raw.size_wh[1]
            self.by_mask.append(frozenset({0}))
            self.binary[0] += 1
            return
        self.masks += 1
        if raw.rgb is not None:
            self.in_colour += 1
            colours, counts = np.unique(raw.packed, return_counts=True)
            if len(colours) > _MANY_COLOURS:
                self.photos += 1
            self.colours.update(dict(zip(colours[:_MANY_COLOURS].tolist(), counts.tolist(), strict=False)))
            return
        values, counts = np.unique(np.asarray(raw.values), return_counts=True)
        self.values.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        self.by_mask.append(frozenset(values.tolist()))
        binary, counts = np.unique(binary_values(raw), return_counts=True)
        self.binary.update(dict(zip(binary.tolist(), counts.tolist(), strict=True)))
        if raw.palette is None:
            self.greys.update(values.tolist())
        else:
            used = used_colours(raw)
            if any(colour != index * 0x10101 for index, colour in used.items()):
                self.palettes.append(used)

    def share(self, value: int) -> float:
        """Share of the pixels that hold this value, of those that are not 255."""
        labelled = sum(count for one, count in self.values.items() if one != VOID)
        return self.values[value] / labelled if labelled and value != VOID else 0.0

    def has_voc_palettes(self) -> bool:
        """Whether palettes show Pascal VOC's colours only, and more than black."""
        known = {pack(colour) for colour in voc_colours()}
        used = {colour for palette in self.palettes for colour in palette.values()}
        return bool(used - {0}) and used <= known

    def mostly_without(self, valid: frozenset[int]) -> int | None:
        """A value that is not valid, if at least half of the masks hold one; else None."""
        wrong = [values - valid for values in self.by_mask if not values <= valid]
        return min(min(values) for values in wrong) if wrong and 2 * len(wrong) >= len(self.by_mask) else None


def gather_evidence(raws: Iterator[RawMask]) -> Evidence:
    evidence = Evidence()
    for raw in raws:
        evidence.add(raw)
    return evidence


def decide_reading(
    evidence: Evidence,
    options: MaskOptions,
    *,
    labelmap: Labelmap | None = None,
    wanted: Sequence[str] | None = None,
    names: Sequence[str] = (),
) -> Reading:
    """Settle how masks with this evidence are read.

    `wanted` are classes to choose from whatever the masks hold; where nothing else names the indices, they may also be
    the names of the indices in order. `names` are the masks' file names. Raises `DatasetError` or `UsageError` if the
    evidence contradicts the options, or fits two readings.
    """
    if 2 * evidence.photos > evidence.masks:
        raise DatasetError("These files hold thousands of colours: they are photos, or masks saved with losses.")
    if labelmap is not None:
        return _colour_reading(evidence, *labelmap)
    if evidence.masks and 2 * evidence.in_colour == evidence.masks:
        raise DatasetError(
            "Half of the masks are RGB in colours, and half hold class indices: put the two kinds into two folders."
        )
    decide = _DECISIONS[options.format]
    reading = decide(_Case(evidence, options, tuple(wanted) if wanted else None, names))
    if (options.ignore or options.offset) and reading.in_colour:
        raise UsageError("`offset` and `ignore` are for values, and these masks are in colours: leave them out.")
    if options.offset and reading.format == "binary":
        raise UsageError("`offset` is for class indices, and these masks are binary: leave it out.")
    return replace(reading, ignore=options.ignore, offset=options.offset)


@dataclass(frozen=True)
class _Case:
    evidence: Evidence
    options: MaskOptions
    wanted: tuple[str, ...] | None
    names: Sequence[str]

    @property
    def is_in_colour(self) -> bool:
        return 2 * self.evidence.in_colour > self.evidence.masks

    def indices(self) -> frozenset[int]:
        """The values as class indices: without those that are void, and with the offset taken off."""
        void = {VOID, *self.options.ignore}
        values = (value - self.options.offset for value in self.evidence.values if value not in void)
        return frozenset(index for index in values if index >= 0)

    def valid_values(self, classes: int) -> frozenset[int]:
        """Values that a mask of so many classes may hold."""
        low = self.options.offset
        return frozenset({*range(low, low + classes), *range(low), VOID, *self.options.ignore})


def _auto(case: _Case) -> Reading:
    options, evidence = case.options, case.evidence
    if case.is_in_colour:
        return _color(case)
    _refuse_binary(case)
    if options.classes:
        _refuse_reordered(evidence)
        return _index(case)
    if case.wanted:
        return _select(case, case.wanted)
    return _unnamed(case)


def _unnamed(case: _Case) -> Reading:
    """Values that nothing gives names to: Pascal VOC's indices or a trimap, unless that is doubtful."""
    if case.evidence.has_voc_palettes():
        _refuse_consecutive(case, "although the palette is VOC's, which labelme gives to all masks")
        return _voc(case)
    if _is_trimap(case):
        return _trimap(case)
    _refuse_doubtful(case)
    return _voc(case)


def _refuse_reordered(evidence: Evidence) -> None:
    if evidence.has_voc_palettes() and not _is_in_index_order(evidence):
        raise DatasetError(
            "The masks' palette has VOC's colours in another order than VOC's: say `format` index to read the indices, "
            "or leave out `classes` to read the colours."
        )


def _is_trimap(case: _Case) -> bool:
    values = frozenset(case.evidence.values) - {*case.options.ignore}
    return values == TRIMAP_VALUES and not case.options.offset and not case.evidence.palettes


def _select(case: _Case, wanted: tuple[str, ...]) -> Reading:
    """`wanted` are classes to choose from VOC's indices, or the names of the masks' own indices in this order."""
    as_own = replace(case, options=replace(case.options, classes=wanted))
    if _is_trimap(case) and set(wanted) <= set(TRIMAP_CLASSES):
        return _trimap(case)
    if not _is_voc(wanted):
        return _index(as_own)
    indices = case.indices()
    chosen = {VOC_CLASSES.index(_voc_name(name)) for name in wanted} - {0}
    fits_own = indices <= set(range(len(wanted))) and bool(indices - {0})
    fits_voc = indices <= _VOC_VALUES and bool(indices & chosen)
    mean_the_same = all(_voc_name(wanted[index]) == VOC_CLASSES[index] for index in indices if index < len(wanted))
    if case.evidence.has_voc_palettes() and not _is_in_index_order(case.evidence):
        return _voc(case)
    if fits_own and fits_voc and not mean_the_same:
        raise DatasetError(
            f"The masks hold {_list_values(indices)}, which may be VOC's indices or indices into "
            f"{', '.join(wanted)}: say `format` voc or index."
        )
    return _index(as_own) if fits_own and not fits_voc else _voc(case)


def _is_in_index_order(evidence: Evidence) -> bool:
    """Whether each palette has VOC's colours at VOC's indices."""
    by_index = {index: pack(colour) for colour, index in voc_colours().items()}
    return all(by_index.get(index) == colour for used in evidence.palettes for index, colour in used.items())


def _refuse_binary(case: _Case) -> None:
    """Refuse masks that hold two values and could be binary."""
    values = frozenset(case.evidence.binary) - {*case.options.ignore}
    remedy = "add `format` binary and `classes` background,NAME if they are binary"
    if values in ({0, VOID}, {VOID}):
        raise DatasetError(
            f"The masks hold only {_list_values(values)}: 255 is void in an index mask, so they would name no class; "
            f"{remedy}."
        )
    if case.options.classes or case.wanted or case.evidence.has_voc_palettes() or case.options.offset:
        return
    if values - {VOID} <= {0, 1} and 1 in values:
        raise DatasetError(
            f"The masks hold only {_list_values(values)}, which fits binary masks and VOC's aeroplane: {remedy}, or "
            "`format` voc."
        )
    if len(values - {0, VOID}) == 1 and not values - {0, VOID} <= _VOC_VALUES:
        raise DatasetError(f"The masks hold only {_list_values(values)}, and no class has such an index: {remedy}.")


def _refuse_doubtful(case: _Case) -> None:
    """Refuse indices without names that are hardly Pascal VOC's."""
    indices, evidence = case.indices(), case.evidence
    remedy = "add `classes` with the names in index order, or `format` voc if they are VOC's"
    if any(name.lower().endswith(_CITYSCAPES) for name in (one.rpartition(".")[0] for one in case.names[:1])):
        raise DatasetError(
            f"Masks called like {case.names[0]!r} are Cityscapes', whose classes are not VOC's: {remedy}."
        )
    low, high = _COUNTED_FROM_ONE
    if 0 in evidence.values and evidence.share(0) < low and evidence.share(1) > high and not case.options.offset:
        raise DatasetError(
            f"Value 1 covers {evidence.share(1):.0%} of the masks and 0 only {evidence.share(0):.0%}, as where classes "
            "count from 1 and 0 is unlabelled (ADE20K): add `offset` 1, or `format` voc if 1 is aeroplane."
        )
    _refuse_consecutive(case)
    if indices and indices <= TRIMAP_VALUES:
        raise DatasetError(
            f"The masks hold only {_list_values(indices)}, which may be an incomplete trimap or VOC's first classes: "
            "say `format` trimap or voc."
        )
    if evidence.palettes and not evidence.has_voc_palettes():
        used = sorted({colour for palette in evidence.palettes for colour in palette.values()} - {0})
        raise DatasetError(
            f"The masks' palette has colours that are not VOC's, e.g. {unpack(used[0]) if used else (0, 0, 0)}, so its "
            f"indices need names: {remedy}."
        )


def _refuse_consecutive(case: _Case, but: str = "") -> None:
    """Refuse values 0 to k without a gap, which are hardly a selection of Pascal VOC's classes."""
    if case.evidence.has_voc_palettes() and not _is_in_index_order(case.evidence):
        return
    indices, least = case.indices(), 0 if but else 1
    top = max(indices, default=0)
    if least < top < len(VOC_CLASSES) - 1 and indices == set(range(top + 1)):
        trimap = " a trimap less one (then `format` trimap and `offset` -1)," if top == 2 and not but else ""
        raise DatasetError(
            f"The masks hold the values 0 to {top}, which may be indices into classes of your own,{trimap} or VOC's "
            f"first classes{', ' + but if but else ''}: add `classes` with the names in index order, or `format` "
            "voc if they are VOC's."
        )


def _index(case: _Case) -> Reading:
    classes = case.options.classes or case.wanted
    if not classes:
        raise UsageError("Index masks name no class: add `classes`, the names in index order.")
    if case.is_in_colour:
        raise DatasetError("The masks are RGB in colours, not indices: name the colours in a `labelmap`.")
    _refuse_values(case, len(classes))
    return Reading(format="index", classes=tuple(classes))


def _voc(case: _Case) -> Reading:
    if case.options.classes:
        return _index(case)
    if case.is_in_colour:
        return replace(_color(case), format="voc")
    speaks_of_values = case.options.ignore or case.options.offset
    if speaks_of_values or not case.evidence.has_voc_palettes():
        _refuse_values(case, len(VOC_CLASSES))
    if speaks_of_values and case.evidence.has_voc_palettes() and not _is_in_index_order(case.evidence):
        raise DatasetError(
            "The masks' palette has VOC's colours in another order than VOC's, so `ignore` and `offset`, which speak "
            "of stored values, contradict the colours: leave them out."
        )
    return Reading(format="voc", classes=VOC_CLASSES)


def _refuse_values(case: _Case, classes: int) -> None:
    """Refuse if most masks hold a value without a class."""
    wrong = case.evidence.mostly_without(case.valid_values(classes))
    if wrong is None:
        return
    hint = ""
    if wrong == 0xFFFF:
        hint = " If it is void, add it to `ignore`."
    elif case.options.classes and frozenset(case.evidence.values) <= _VOC_VALUES | {VOID}:
        hint = " All of them are VOC's indices: leave out `classes` to read them so."
    raise DatasetError(
        f"Most masks hold a value without a class, e.g. {wrong}: there are {classes} classes (0 to {classes - 1}), and "
        f"255 for void. Name all classes in `classes`, or set `ignore` or `offset`.{hint}"
    )


def _binary(case: _Case) -> Reading:
    classes = case.options.classes or case.wanted
    if not classes or len(classes) > 2 or (len(classes) == 2 and canonical_name(classes[0]) != BACKGROUND):
        raise UsageError("Binary masks name no class: add `classes` background,NAME with the name of what they show.")
    if case.is_in_colour:
        raise DatasetError("The masks are RGB in colours, not binary: name the colours in a `labelmap`.")
    values = frozenset(case.evidence.binary) - {0, *case.options.ignore}
    if len(values) > 1:
        raise DatasetError(
            f"Binary masks hold 0 and one other value, and these hold {_list_values(values | {0})}: add what is void "
            "to `ignore`, or take `format` index."
        )
    return Reading(format="binary", classes=(BACKGROUND, classes[-1]), foreground=max(values, default=VOID))


def _trimap(case: _Case) -> Reading:
    expected = frozenset(value + case.options.offset for value in TRIMAP_VALUES) | {*case.options.ignore}
    wrong = case.evidence.mostly_without(expected)
    if wrong is not None or case.is_in_colour:
        held = _list_values(case.evidence.values) if not case.is_in_colour else "colours"
        hint = " Trimaps less one take `offset` -1." if frozenset(case.evidence.values) <= {0, 1, 2} else ""
        raise DatasetError(
            f"Trimaps hold 1 for the pet, 2 for background and 3 for its border, and these masks hold {held}.{hint}"
        )
    return Reading(format="trimap", classes=TRIMAP_CLASSES)


def _color(case: _Case) -> Reading:
    if case.options.classes:
        raise UsageError("Masks in colours need a `labelmap` with the classes and their colours, not `classes`.")
    return _colour_reading(case.evidence, VOC_CLASSES, voc_colours())


def _colour_reading(evidence: Evidence, classes: tuple[str, ...], colours: dict[Colour, int]) -> Reading:
    seen = Counter(evidence.colours)
    for palette in evidence.palettes:
        seen.update(palette.values())
    seen.update(grey * 0x10101 for grey in evidence.greys)
    known = {pack(colour) for colour in colours}
    unknown = [colour for colour, _ in seen.most_common() if colour not in known]
    if unknown and not evidence.in_colour and not evidence.palettes:
        raise DatasetError(
            f"The masks hold grey values ({_list_values(evidence.greys)}) where colours were expected: take `format` "
            "index with `classes`."
        )
    if 2 * len(unknown) > len(seen):
        listed = ", ".join(str(unpack(colour)) for colour in unknown[:3])
        raise DatasetError(
            f"The masks are in colours that stand for no class, e.g. {listed}: name them in a `labelmap`, "
            "name:red,green,blue:: per line."
        )
    return Reading(format="color", classes=classes, in_colour=True, colours=colours)


_DECISIONS: dict[str, Callable[[_Case], Reading]] = {
    AUTO: _auto,
    "index": _index,
    "voc": _voc,
    "binary": _binary,
    "trimap": _trimap,
    "color": _color,
}


def _is_voc(names: Sequence[str]) -> bool:
    return {canonical_name(name) for name in names} <= {canonical_name(name) for name in VOC_CLASSES}


def _voc_name(name: str) -> str:
    return next(one for one in VOC_CLASSES if canonical_name(one) == canonical_name(name))


def _list_values(values: "Counter[int] | frozenset[int] | set[int]") -> str:
    listed = sorted(values)
    text = ", ".join(map(str, listed[:6]))
    return f"{text}, ..." if len(listed) > 6 else text.replace(", ", " and ") if len(listed) == 2 else text
