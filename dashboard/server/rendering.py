"""Render the images that the media routes send: coloured or greyscale masks, and photos at screen size.

Takes the bytes of masks or photos and returns PNG or JPEG bytes.
"""

import io

import numpy as np
from PIL import Image

from seglib.classes import VOID, Mask, palette, unpainted_values
from seglib.data import image
from seglib.masks.difference import CATEGORIES, OTHER, encode_difference_png
from seglib.masks.difference import difference_map as find_difference
from seglib.masks.png import decode_index_png, encode_png

MAX_PHOTO_SIDE = 2048
"""Maximum long side of a photo in the viewer, in pixels."""

DOUBT_COLOUR = CATEGORIES[OTHER].colour
"""`#rrggbb` of doubtful pixels."""

_PREVIEW_SIDE = 240
_PREVIEW_OPACITY = 0.65
_NO_PHOTO = (128, 128, 128)


def colour_mask(data: bytes, colours: str, classes: tuple[str, ...]) -> bytes:
    """Convert an index PNG to a colour PNG of the same size: opaque classes, transparent background and void."""
    picture = Image.fromarray(decode_index_png(data))
    picture.putpalette(palette(colours, classes).tobytes().ljust(3 * 256, b"\0"))
    picture.info["transparency"] = bytes(0 if value in unpainted_values(classes) else 255 for value in range(256))
    return encode_png(picture)


def grey_mask(data: bytes) -> bytes:
    """Convert an index PNG to a greyscale PNG whose values are the class indices.

    Greyscale, because browser scripts can read an image's colours but not its palette indices.
    """
    return encode_png(Image.fromarray(decode_index_png(data)))


def difference(a: bytes, b: bytes, classes_a: tuple[str, ...], classes_b: tuple[str, ...]) -> bytes:
    """Return a colour PNG of where two index PNGs differ, at the finer of their sizes; see `masks.difference`."""
    return encode_difference_png(find_difference(decode_index_png(a), decode_index_png(b), classes_a, classes_b))


def colour_doubts(data: bytes) -> bytes:
    """Convert a map of doubtful pixels (`pair_counts.doubt_path`) to a PNG of one colour on transparent ground."""
    doubtful = (decode_index_png(data) != VOID).astype(np.uint8)
    picture = Image.fromarray(doubtful)
    picture.putpalette((b"\0\0\0" + bytes.fromhex(DOUBT_COLOUR[1:])).ljust(3 * 256, b"\0"))
    picture.info["transparency"] = bytes((0, 255))
    return encode_png(picture)


def grey_doubts(data: bytes) -> bytes:
    """Convert a map of doubtful pixels to a greyscale PNG: 255 where the label is doubtful, else 0."""
    return encode_png(Image.fromarray(np.where(decode_index_png(data) != VOID, 255, 0).astype(np.uint8)))


def screen_photo(data: bytes) -> bytes:
    """Convert a photo's file to an upright JPEG without metadata. Raises `BadImage`."""
    photo = image.decode(data)
    photo.thumbnail((MAX_PHOTO_SIDE, MAX_PHOTO_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def preview(photo: bytes | None, mask: Mask, colours: str, classes: tuple[str, ...]) -> bytes:
    """Return a small JPEG of a photo under its mask; grey in place of the photo if there is none.

    Background and void stay as in the photo.
    """
    try:
        picture = Image.open(io.BytesIO(photo or b"")).convert("RGB")
    except OSError:  # missing or damaged
        picture = Image.new("RGB", (mask.shape[1], mask.shape[0]), _NO_PHOTO)
    picture.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE), Image.Resampling.BILINEAR)
    small = np.asarray(Image.fromarray(mask).resize(picture.size, Image.Resampling.NEAREST))
    paint = np.zeros((256, 3), np.uint8)
    paint[: len(classes)] = palette(colours, classes)
    opacity = np.where(np.isin(small, unpainted_values(classes)), 0.0, _PREVIEW_OPACITY)[..., None]
    mixed = np.asarray(picture) * (1 - opacity) + paint[small] * opacity
    buffer = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
