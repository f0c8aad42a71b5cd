"""Read and write masks as 8-bit PNG files, and bring masks of several sizes to one."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.classes import palette

Mask = NDArray[np.uint8]


_VOC_256 = palette("voc", [""] * 256).tobytes()


_MOST_PIXELS = 89_478_485  # Pillow warns from there on, as `preprocess.MAX_PIXELS` refuses photos


_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def index_png(mask: Mask) -> bytes:
    """8-bit palette PNG: value = class index, in VOC colours, so that any viewer shows the classes."""
    image = Image.fromarray(mask)  # mode L
    image.putpalette(_VOC_256)  # turns it into P; the values stay
    return png(image)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def read_index_png(data: bytes) -> Mask:
    """The mask uint8 (H, W) of `index_png`, or of any grey or palette PNG of indices. Raises `ValueError`."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # as PNG's header has them
    if width * height > _MOST_PIXELS:
        raise ValueError(f"{width} x {height} is more than {_MOST_PIXELS:,} pixels")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode in ("P", "L"):
                return np.array(image)
    except Exception as error:  # hostile bytes may raise anything in a decoder; whatever it is, this is no mask
        raise ValueError(f"decoding failed: {type(error).__name__}") from None
    raise ValueError(f"expected a palette or grey PNG of class indices, not mode {image.mode}")


def read_own_png(data: bytes) -> Mask:
    """The mask of a PNG that `index_png` made. Raises `ValueError` unless every byte is as written.

    The checksum of each chunk is compared, which decoding alone does not do.
    """
    mask = read_index_png(data)
    if data[-len(_PNG_END) :] != _PNG_END:
        raise ValueError("expected the end of a PNG")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()
    except (OSError, SyntaxError) as error:
        raise ValueError(str(error)) from None
    return mask


def stretched(mask: Mask, size_wh: tuple[int, int]) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(size_wh, Image.Resampling.NEAREST))


def on_one_grid(masks: Sequence[Mask]) -> list[Mask]:
    """All at the size of the finest (most pixels, on a tie the widest), enlarged by nearest neighbour."""
    height, width = max((mask.shape for mask in masks), key=lambda shape: (shape[0] * shape[1], shape[1]))
    return [m if m.shape == (height, width) else stretched(m, (width, height)) for m in masks]
