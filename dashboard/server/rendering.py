"""What the media routes send: an index mask in colours or as grey values, and a photo at the size of a screen.

In: bytes of the store or of a photo. Out: PNG or JPEG bytes. Knows nothing of addresses, stores or caches.
"""

import io

from PIL import Image

from seglib.classes import VOID, palette
from seglib.data import image
from seglib.masks.difference import difference as find_difference
from seglib.masks.difference import difference_png
from seglib.masks.png import png, read_index_png

PHOTO_SIDE = 2048
"""Long side of a photo in the viewer, at most."""


def colour_mask(data: bytes, colours: str, classes: tuple[str, ...]) -> bytes:
    """An index PNG as a colour PNG of the same size: opaque classes, background and void transparent."""
    picture = Image.fromarray(read_index_png(data))
    picture.putpalette(palette(colours, classes).tobytes().ljust(3 * 256, b"\0"))
    picture.info["transparency"] = bytes(0 if value in (0, VOID) else 255 for value in range(256))
    return png(picture)


def grey_mask(data: bytes) -> bytes:
    """An index PNG as a grey PNG whose values are the class indices.

    Grey, since a browser hands a script the colours of a picture and not the indices of its palette.
    """
    return png(Image.fromarray(read_index_png(data)))


def difference(a: bytes, b: bytes, classes_a: tuple[str, ...], classes_b: tuple[str, ...]) -> bytes:
    """Two index PNGs as a colour PNG of where they differ, at the finer of their sizes; see `masks.difference`."""
    return difference_png(find_difference(read_index_png(a), read_index_png(b), classes_a, classes_b))


def screen_photo(data: bytes) -> bytes:
    """A photo's file as an upright JPEG without metadata. Raises `BadImage`."""
    photo = image.decode(data)
    photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
