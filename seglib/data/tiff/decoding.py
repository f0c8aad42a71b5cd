"""Decode the TIFF kinds that Pillow would read wrongly without an error, and describe those that it cannot read."""

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from seglib.data.tiff import tags
from seglib.errors import BadImage

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 259, 262, 277, 284
_PLACES = ((273, 279), (324, 325))  # (offsets, byte counts) of strips and of tiles
_COLOR_MAP, _SAMPLE_FORMAT = 320, 339
_WHITE_IS_ZERO, _SEPARATE, _SIGNED = 0, 2, 2

# Pillow's own reader takes the bytes of 16-bit planes for pixels, and subsampled YCbCr for full; libtiff reads both.
TiffImagePlugin.READ_LIBTIFF = True
TiffImagePlugin.OPEN_INFO[(TiffImagePlugin.MM, 0, (1,), 1, (16,), ())] = ("I;16B", "I;16B")  # inverted below

_FORMATS = {2: " signed", 3: " floating-point"}
_PHOTOMETRICS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELAB", 32803: "raw sensor"}


def decode(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Decode an opened TIFF, upright; `data` is the file. Raises `BadImage` as `unsupported`."""
    layout = tags.read_tags(data)
    unread = ("LA", "La", "PA") if layout.get(_PLANAR) == (_SEPARATE,) else ()
    if image.mode in ("I", "F", "LAB", *unread) or _SIGNED in layout.get(_SAMPLE_FORMAT, ()):
        raise explain_failure(data)
    image.info.pop("xmp", None)  # from which Pillow would take an orientation
    image.load()
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint16) >> (4 if layout.get(_BITS) == (12,) else 8)  # (H, W), 0..255
        return Image.fromarray((255 - values if _is_white_zero(layout) else values).astype(np.uint8))
    if image.mode == "P" and max(layout.get(_COLOR_MAP, (256,))) < 256:  # 8-bit colours in place of 16-bit ones
        image.putpalette(np.array(layout[_COLOR_MAP], np.uint8).reshape(3, -1).T.tobytes())
    return image


def explain_failure(data: bytes) -> BadImage:
    """Return why a TIFF cannot be read: `damaged` tags, `truncated` pixels, or an `unsupported` kind of pixels."""
    layout = tags.read_tags(data)
    places = [(layout[offset], layout[size]) for offset, size in _PLACES if offset in layout and size in layout]
    if not places or any(len(layout.get(tag, ())) != 1 for tag in (_WIDTH, _HEIGHT)):
        return BadImage("damaged", "It begins as a TIFF, but its tags are damaged.")
    if any(start + size > len(data) for starts, sizes in places for start, size in zip(starts, sizes, strict=False)):
        return BadImage("truncated", "The file ends before its last pixels.")
    bits, form = sorted(set(layout.get(_BITS, (1,)))), layout.get(_SAMPLE_FORMAT, (1,))[0]
    samples, photometric = layout.get(_SAMPLES, (1,))[0], layout.get(_PHOTOMETRIC, (0,))[0]
    return BadImage(
        "unsupported",
        f"This kind of TIFF is not read ({_PHOTOMETRICS.get(photometric, f'photometric {photometric}')}, {samples} x "
        f"{'/'.join(map(str, bits))} bits{_FORMATS.get(form, '')}, compression {layout.get(_COMPRESSION, (1,))[0]}): "
        "save it as grey or RGB of 8 or 16 bits.",
    )


def _is_white_zero(layout: dict[int, tuple[int, ...]]) -> bool:
    return layout.get(_PHOTOMETRIC, (0,))[0] == _WHITE_IS_ZERO
