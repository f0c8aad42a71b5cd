"""Turn what a mask file stores into class indices, once it is settled how (`Reading`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from seglib.annotations.class_names import Colour, voc_colours
from seglib.annotations.raw_mask import RawMask
from seglib.annotations.trimap import TRIMAP_CLASSES, TRIMAP_VALUES, pet_species
from seglib.classes import VOID, Mask
from seglib.errors import DatasetError

_TABLE_SIZE = 0x10000  # one entry per value that 16 bits can hold


class MaskError(DatasetError):
    """One mask that cannot be used; the others can."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the masks of one folder are read. `decode` gives uint8 (H, W) indices into `classes`, 255 void."""

    format: str
    """`index`, `voc`, `binary`, `trimap` or `color`."""
    classes: tuple[str, ...]
    in_colour: bool = False
    """True if the masks are RGB in colours, false if they hold values or palette indices."""
    colours: Mapping[Colour, int] = field(default_factory=dict)
    """Colour -> class index or 255, for `color`, and for `voc` palettes in another order than VOC's."""
    ignore: tuple[int, ...] = ()
    offset: int = 0
    foreground: int | None = None
    """For `binary`: the value that is not the background's."""

    def decode(self, raw: RawMask, name: str, label: str | None = None) -> Mask:
        """Read one mask. `name` is the file's, `label` its photo's folder. Raises `MaskError`."""
        if not self.in_colour and raw.rgb is not None:
            raise MaskError(f"The mask {name!r} holds RGB colours, where the others hold class indices.")
        if self.in_colour or self.format == "color" or self._goes_by_palette(raw):
            return self._by_colour(raw, name)
        assert raw.values is not None
        if self.format == "binary":
            return self._binary(raw, name)
        table = self._table(name, label)
        if any(table[value] < 0 for value in raw.used_values):
            raise self._value_error(name, int(raw.values[table[raw.values] < 0][0]))
        return _look_up(raw, table.astype(np.uint8))

    def _goes_by_palette(self, raw: RawMask) -> bool:
        """Whether a mask of Pascal VOC's classes is read by the colours of its palette, in whichever order they are."""
        speaks_of_values = self.ignore or self.offset
        return self.format == "voc" and not speaks_of_values and _shows_voc_colours(raw)

    def describe_options(self) -> str:
        """Everything but format and classes that decides what `decode` gives; empty for plain indices and trimaps."""
        parts = {
            "offset": self.offset or "",
            "ignore": ",".join(map(str, sorted(self.ignore))),
            "foreground": "" if self.foreground is None else self.foreground,
            "in_colour": int(self.in_colour) or "",
            "colours": ",".join(f"{pack(colour):06x}={index}" for colour, index in self.colours.items()),
        }
        return ";".join(f"{name}={value}" for name, value in parts.items() if value != "")

    def _table(self, name: str, label: str | None) -> NDArray[np.int16]:
        """int16 (65536,): stored value -> class index or 255; -1 for values that have no class."""
        table = np.full(_TABLE_SIZE, -1, np.int16)
        if self.format == "trimap":
            animal = TRIMAP_CLASSES.index(pet_species(name, label))
            meaning = {1: animal, 2: 0, 3: VOID}
        else:
            meaning = {index: index for index in range(len(self.classes))}
        if self.offset > 0:
            table[: self.offset] = VOID
        for value, index in meaning.items():
            if 0 <= value + self.offset < _TABLE_SIZE:
                table[value + self.offset] = index
        if self.format != "trimap":
            table[VOID] = VOID
        table[[value for value in self.ignore if 0 <= value < _TABLE_SIZE]] = VOID
        return table

    def _value_error(self, name: str, value: int) -> MaskError:
        if self.format == "trimap":
            low, high = min(TRIMAP_VALUES) + self.offset, max(TRIMAP_VALUES) + self.offset
            return MaskError(
                f"The trimap {name!r} holds {value}: expected {low} for the pet, {low + 1} for background and {high} "
                "for its border. For masks of class indices take the format voc or index."
            )
        low, count = self.offset, len(self.classes)
        return MaskError(
            f"The mask {name!r} holds the value {value}, but there are only {count} classes ({max(low, 0)} to "
            f"{low + count - 1}, and 255 for void): name all of them, or change the mask."
        )

    def _binary(self, raw: RawMask, name: str) -> Mask:
        values = binary_values(raw)
        void = np.isin(values, self.ignore)
        beyond = np.unique(values[(values != 0) & (values != self.foreground) & ~void])
        if len(beyond):
            raise MaskError(
                f"The mask {name!r} holds the value {beyond[0]}: expected 0 and {self.foreground} in a binary mask."
            )
        mask: Mask = (values != 0).astype(np.uint8)
        mask[void] = VOID
        return mask

    def _by_colour(self, raw: RawMask, name: str) -> Mask:
        if raw.rgb is None:
            return self._by_palette(raw, name)
        colours = self.colours or voc_colours()
        packed = np.array([pack(colour) for colour in colours], np.uint32)
        order = np.argsort(packed)
        indices = np.array(list(colours.values()), np.uint8)[order]
        places = np.minimum(np.searchsorted(packed[order], raw.packed), len(packed) - 1)
        known = packed[order][places] == raw.packed
        if not known.all():
            raise _colour_error(name, int(raw.packed[~known][0]))
        return np.asarray(indices[places], np.uint8)

    def _by_palette(self, raw: RawMask, name: str) -> Mask:
        """Look up each palette entry, or each grey value, once."""
        assert raw.values is not None
        by_colour = {pack(colour): index for colour, index in self.colours.items()} or _VOC_COLOURS
        table = np.zeros(_TABLE_SIZE, np.uint8)
        for value, colour in used_colours(raw).items():
            if colour not in by_colour:
                raise _colour_error(name, colour)
            table[value] = by_colour[colour]
        return _look_up(raw, table)


def _look_up(raw: RawMask, table: NDArray[np.uint8]) -> Mask:
    """uint8 (H, W): the entry of each stored value in a table (65536,)."""
    assert raw.values is not None
    if all(table[value] == value for value in raw.used_values):  # the usual case: 100 times as fast
        return raw.values.astype(np.uint8)
    return table[raw.values]


def _colour_error(name: str, colour: int) -> MaskError:
    return MaskError(
        f"The mask {name!r} holds the colour {unpack(colour)}, which stands for no class: name it in the `labelmap`."
    )


def binary_values(raw: RawMask) -> NDArray[np.uint16]:
    """uint16 (H, W): the values of a binary mask, 0 where a palette shows black, whatever its index."""
    assert raw.values is not None
    if raw.palette is None or 0 not in (used := used_colours(raw)).values():
        return raw.values
    grey = {index: colour & 255 for index, colour in used.items() if colour % 0x10101 == 0}
    table = np.arange(_TABLE_SIZE, dtype=np.uint16)
    for index, colour in used.items():
        table[index] = grey.get(index, max(index, 1)) if colour else 0
    return table[raw.values]


def pack(colour: Colour) -> int:
    """The colour as 0xRRGGBB."""
    return (colour[0] << 16) | (colour[1] << 8) | colour[2]


def unpack(colour: int) -> Colour:
    return colour >> 16, colour >> 8 & 255, colour & 255


def used_colours(raw: RawMask) -> dict[int, int]:
    """Stored value -> colour as 0xRRGGBB, of the values that the mask holds; grey as it looks with 8 bits."""
    assert raw.values is not None
    if raw.palette is None:
        return {value: min(value, 255) * 0x10101 for value in raw.used_values}
    return {index: pack(tuple(raw.palette[index].tolist())) for index in raw.used_values}


def _shows_voc_colours(raw: RawMask) -> bool:
    """Whether all colours that a palette mask uses are Pascal VOC's, in whichever order."""
    if raw.palette is None:
        return False
    colours = list(used_colours(raw).values())
    return set(colours) <= _VOC_COLOURS.keys() and len(set(colours)) == len(colours)  # a black palette says nothing


_VOC_COLOURS = {pack(colour): index for colour, index in voc_colours().items()}
