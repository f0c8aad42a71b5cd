"""Read TIFF tags, which hold the layout of a TIFF's pixels and, in other formats, the EXIF orientation.

A tag that is broken or empty, or of another type than whole numbers, is left out and does not affect the others.
"""

import struct
from collections.abc import Collection

from PIL import Image

ORIENTATION = 274
_SHORT = 3
_TYPES = {1: "B", _SHORT: "H", 4: "L", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
_MAX_TAGS = 4096
_MAX_VALUES = 1_000_000

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_tags(data: bytes, types: Collection[int] = tuple(_TYPES)) -> dict[int, tuple[int, ...]]:
    """Map tag -> values for the tags of these types in the first directory of a TIFF, BigTIFF or EXIF block."""
    tags: dict[int, tuple[int, ...]] = {}
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return tags
    big = 43 in data[2:4]
    head, entry, word = ("8xQ", "HHQ", "Q") if big else ("4xL", "HHL", "L")
    inline = struct.calcsize(order + word)
    try:
        (start,) = struct.unpack_from(order + head, data)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        start += 8 if big else 2
        step = struct.calcsize(order + entry) + inline
        for at in range(start, start + step * min(count, _MAX_TAGS), step):
            tag, kind, length = struct.unpack_from(order + entry, data, at)
            if kind not in types or not 0 < length <= _MAX_VALUES:
                continue
            form, place = f"{order}{length}{_TYPES[kind]}", at + step - inline
            if struct.calcsize(form) > inline:
                (place,) = struct.unpack_from(order + word, data, place)
            if place + struct.calcsize(form) <= len(data):
                tags.setdefault(tag, struct.unpack_from(form, data, place))
    except struct.error:  # the directory ends early: keep what it says
        pass
    return tags


def turn_upright(image: Image.Image, exif: bytes) -> Image.Image:
    """Transpose the image by the orientation in an EXIF block; without a valid one, return it unchanged.

    As in browsers, only a SHORT is an orientation, and one in XMP is ignored.
    """
    orientation = read_tags(exif.removeprefix(b"Exif\0\0"), (_SHORT,)).get(ORIENTATION, (1,))
    method = _TRANSPOSITIONS.get(orientation[0]) if len(orientation) == 1 else None
    return image if method is None else image.transpose(method)
