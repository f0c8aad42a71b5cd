"""Render the images that the media routes send: coloured or greyscale masks, and photos at screen size.

Takes the bytes of masks or photos and returns PNG or JPEG bytes.
"""

import io

from PIL import Image

from seglib.classes import VOID, palette
from seglib.data import image
from seglib.masks.difference import difference_map as find_difference
from seglib.masks.difference import encode_difference_png
from seglib.masks.png import decode_index_png, encode_png

MAX_PHOTO_SIDE = 2048
"""Maximum long side of a photo in the viewer, in pixels."""


def colour_mask(data: bytes, colours: str, classes: tuple[str, ...]) -> bytes:
    """Convert an index PNG to a colour PNG of the same size: opaque classes, transparent background and void."""
    picture = Image.fromarray(decode_index_png(data))
    picture.putpalette(palette(colours, classes).tobytes().ljust(3 * 256, b"\0"))
    picture.info["transparency"] = bytes(0 if value in (0, VOID) else 255 for value in range(256))
    return encode_png(picture)


def grey_mask(data: bytes) -> bytes:
    """Convert an index PNG to a greyscale PNG whose values are the class indices.

    Greyscale, because browser scripts can read an image's colours but not its palette indices.
    """
    return encode_png(Image.fromarray(decode_index_png(data)))


def difference(a: bytes, b: bytes, classes_a: tuple[str, ...], classes_b: tuple[str, ...]) -> bytes:
    """Return a colour PNG of where two index PNGs differ, at the finer of their sizes; see `masks.difference`."""
    return encode_difference_png(find_difference(decode_index_png(a), decode_index_png(b), classes_a, classes_b))


def screen_photo(data: bytes) -> bytes:
    """Convert a photo's file to an upright JPEG without metadata. Raises `BadImage`."""
    photo = image.decode(data)
    photo.thumbnail((MAX_PHOTO_SIDE, MAX_PHOTO_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
