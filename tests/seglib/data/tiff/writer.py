"""Write small TIFFs of kinds that Pillow does not write."""

import struct
import zlib

import numpy as np

GREY_INVERTED, GREY, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
_FORMS = {1: "B", 3: "H", 4: "L", 16: "Q"}
_KINDS = {"u": 1, "i": 2, "f": 3}


def write_tiff(
    pixels: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    planes: bool = False,
    deflate: bool = False,
    big: bool = False,
    **tags: tuple[int, ...],
) -> bytes:
    """A TIFF of (H, W) or (H, W, S) pixels, one strip per image or, with `planes`, per sample.

    `tags` are further ones or replace those made here: t258=(12,).
    """
    height, width, *samples = pixels.shape
    strips = np.moveaxis(pixels, 2, 0) if planes and samples else pixels[None]
    data = [strip.astype(strip.dtype.newbyteorder(order)).tobytes() for strip in strips]
    data = [zlib.compress(strip) for strip in data] if deflate else data
    count = samples[0] if samples else 1
    head = 16 if big else 8
    starts = np.cumsum([head, *(len(strip) for strip in data)]).tolist()
    values = {
        256: (width,), 257: (height,), 258: (8 * pixels.itemsize,) * count, 259: (8 if deflate else 1,),
        262: (photometric,), 273: tuple(starts[:-1]), 277: (count,), 278: (height,),
        279: tuple(len(strip) for strip in data), 284: (2 if planes else 1,),
        339: (_KINDS[pixels.dtype.kind],) * count,
    }  # fmt: skip
    values |= {int(name[1:]): value for name, value in tags.items()}
    return _header(order, big, starts[-1]) + b"".join(data) + _directory(order, big, starts[-1], values)


def _header(order: str, big: bool, directory: int) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + ("HHHQ" if big else "HL"), *((43, 8, 0) if big else (42,)), directory)


def _directory(order: str, big: bool, start: int, values: dict[int, tuple[int, ...]]) -> bytes:
    word, counter = ("Q", "Q") if big else ("L", "H")
    size = struct.calcsize("<" + word)
    entry = 4 + 2 * size
    end = start + struct.calcsize("<" + counter) + entry * len(values) + size
    entries, beyond = b"", b""
    for tag, numbers in sorted(values.items()):
        kind = 3 if max(numbers, default=0) < 1 << 16 else 4
        packed = struct.pack(f"{order}{len(numbers)}{_FORMS[kind]}", *numbers)
        if len(packed) > size:
            place = struct.pack(order + word, end + len(beyond))
            beyond += packed
        else:
            place = packed.ljust(size, b"\0")
        entries += struct.pack(order + "HH" + word, tag, kind, len(numbers)) + place
    return struct.pack(order + counter, len(values)) + entries + bytes(size) + beyond
