"""Read and write masks as 8-bit PNG files, and resize masks to a common size."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from seglib.classes import VOC_CLASSES, Mask, palette

_VOC_256 = palette("voc", [""] * 256).tobytes()

_MAX_PIXELS = 89_478_485  # Pillow warns above this; the same limit as `data.image.MAX_PIXELS`

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def encode_index_png(mask: Mask) -> bytes:
    """Encode a mask as an 8-bit palette PNG (value = class index) with VOC colours, so that any viewer can show it.

    The palette has a colour for each of the VOC classes, and for each value up to the largest in the mask.
    """
    colours = max(len(VOC_CLASSES), int(mask.max(initial=0)) + 1)  # with 16 or fewer, Pillow would pack the pixels
    image = Image.fromarray(mask)  # mode L
    image.putpalette(_VOC_256[: 3 * colours])  # converts to mode P; the values are unchanged
    return encode_png(image)


def encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def decode_index_png(data: bytes) -> Mask:
    """Decode a grey or palette PNG of class indices to uint8 (H, W). Raises `ValueError`."""
    width, height = (int.from_bytes(data[offset : offset + 4], "big") for offset in (16, 20))  # from the PNG header
    if width * height > _MAX_PIXELS:
        raise ValueError(f"{width} x {height} is more than {_MAX_PIXELS:,} pixels")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode in ("P", "L"):
                return np.array(image)
    except Exception as error:  # decoders may raise anything on hostile input
        raise ValueError(f"decoding failed: {type(error).__name__}") from None
    raise ValueError(f"expected a palette or grey PNG of class indices, not mode {image.mode}")


def decode_verified_png(data: bytes) -> Mask:
    """Decode a PNG that `encode_index_png` wrote. Raises `ValueError` if it is corrupt.

    Verifies the checksum of each chunk, which decoding alone does not do.
    """
    mask = decode_index_png(data)
    if data[-len(_PNG_END) :] != _PNG_END:
        raise ValueError("expected the end of a PNG")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()
    except (OSError, SyntaxError) as error:
        raise ValueError(str(error)) from None
    return mask


def resize_mask(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(size_wh, Image.Resampling.NEAREST))


def resize_to_finest(masks: Sequence[Mask]) -> list[Mask]:
    """Resize all masks to the largest one's size (most pixels, then widest) by nearest neighbour."""
    height, width = max((mask.shape for mask in masks), key=lambda shape: (shape[0] * shape[1], shape[1]))
    return [m if m.shape == (height, width) else resize_mask(m, (width, height)) for m in masks]
