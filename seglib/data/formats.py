"""Recognise image formats by their first bytes, and take from a file what would keep Pillow from its pixels."""

import re
import struct
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import takewhile

import numpy as np
from PIL import AvifImagePlugin, Image

from seglib.errors import BadImage

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
"""Names of formats as Pillow has them; HEIF includes HEIC and needs the extra `heic`."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIF_REMEDY = "pip install '.[heic]' in the project's folder"

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded in parallel already

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    **dict.fromkeys((b"II\x2a\0", b"MM\0\x2a", b"II\0\x2a", b"MM\x2a\0", b"II\x2b\0", b"MM\0\x2b"), "TIFF"),
}
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})

_PNG_PIXEL_CHUNKS = frozenset({b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
"""Optional chunks that change what is shown. The others hold texts, colour profiles and times."""

_JPEG_SEGMENT = re.compile(rb"\xff+([^\x00\x01\xd0-\xd9\xff])(..)", re.DOTALL)
"""Marker and length; \xff before \x00 or a restart marker is entropy-coded data."""
_JPEG_APP1, _JPEG_SCAN = 0xE1, 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{3}(?:.{4}|.{6}))Exif", re.DOTALL)

_EXIF_MARKS = {"PNG": b"eXIf", "WEBP": b"EXIF", "AVIF": b"Exif", "HEIF": b"Exif"}

JPEG_END = b"\xff\xd9"
JPEG_NOISES = (b"\xaa" * 2048 + JPEG_END, b"\xb6\x6d\xdb" * 683 + JPEG_END)
"""Entropy-coded data without meaning, and the end of the file."""


def identify(data: bytes) -> str | None:
    """Return which of `IMAGE_FORMATS` the content is by its first bytes, or None."""
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] != b"ftyp":
        return None
    major, size = data[8:12], min(int.from_bytes(data[:4], "big"), 1024)
    if major in (b"avif", b"avis"):
        return "AVIF"
    if major in (b"mif1", b"msf1") and b"avif" in data[16:size]:
        return "AVIF"
    return "HEIF" if major in _HEIF_BRANDS else None


def drop_png_metadata(data: bytes) -> bytes:
    """Return a PNG without its texts, colour profile and other optional chunks that do not change the pixels.

    Pillow refuses files in which these are large when uncompressed, or damaged.
    """
    kept, start, position = [], 0, 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, position)
        kind, end = data[position + 4 : position + 8], position + 12 + length
        if kind[:1].islower() and kind not in _PNG_PIXEL_CHUNKS and end <= len(data):
            kept.append(memoryview(data)[start:position])
            start = end
        position = end
    return b"".join((*kept, memoryview(data)[start:])) if kept else data


def hide_heif_exif(data: bytes) -> bytes:
    """Return an AVIF or HEIF whose EXIF is renamed, so that it is ignored: they have boxes for their orientation."""
    return _EXIF_ITEM.sub(rb"\1free", data)


def scale_png_transparency(image: Image.Image, data: bytes) -> Image.Image:
    """Apply a PNG's transparent value to its pixels, which Pillow scales to 8 bits while it keeps the value.

    Grey of 16 bits is returned as uint8 "L" or "LA".
    """
    value, bits = image.info.get("transparency"), data[24]
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16)
        grey = Image.fromarray((values >> 8).astype(np.uint8))
        if value is not None:
            grey.putalpha(Image.fromarray(np.where(values == value, 0, 255).astype(np.uint8)))
        return grey
    if image.mode == "L" and bits < 8 and value is not None:
        image.info["transparency"] = value * 255 // (2**bits - 1)
    elif image.mode == "RGB" and bits == 16 and value is not None:
        image.info["transparency"] = tuple(one >> 8 for one in value)
    return image


@cache
def has_heif() -> bool:
    """Whether the extra `heic` is installed."""
    return find_spec("pillow_heif") is not None


def enable_heif() -> None:
    """Make Pillow read HEIF. Raises `BadImage` as `unsupported` without the extra `heic`."""
    try:
        import pillow_heif
    except ImportError:
        raise BadImage("unsupported", f"HEIC needs an extra: {HEIF_REMEDY}.") from None
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def is_12_bit_jpeg(data: bytes) -> bool:
    return any(marker in _JPEG_FRAMES and segment[:1] == b"\x0c" for marker, segment in _jpeg_segments(data))


def may_hold_exif(data: bytes, kind: str) -> bool:
    """Whether a file of this format has EXIF, or may have; tells most files apart without opening them."""
    if kind == "JPEG":
        segments = takewhile(lambda segment: segment[0] != _JPEG_SCAN, _jpeg_segments(data))
        return any(marker == _JPEG_APP1 and content.startswith(b"Exif\0") for marker, content in segments)
    return kind == "TIFF" or (kind in _EXIF_MARKS and _EXIF_MARKS[kind] in data)


def delivers_all_scans(data: bytes) -> bool:
    """Whether the scans that begin in a JPEG together hold every coefficient of every component at full precision."""
    missing: dict[int, set[int]] = {}
    for marker, segment in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            missing = {component: set(range(64)) for component in segment[6::3]}
        elif marker == _JPEG_SCAN and segment:
            count = segment[0]
            first, last, precision = segment[1 + 2 * count :][:3]
            for component in segment[1 : 1 + 2 * count : 2]:
                if precision & 15 == 0:
                    missing.get(component, set()).difference_update(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, content) of each whole segment; entropy-coded data is skipped."""
    position = 2
    while (match := _JPEG_SEGMENT.search(data, position)) is not None:
        end = match.start(2) + int.from_bytes(match[2], "big")
        if not match.end() <= end <= len(data):
            return
        yield match[1][0], data[match.end() : end]
        position = end
