"""Decode a mask file of any usual kind to the values, or the colours, that it stores.

PNG, TIFF, GIF and BMP; 1, 2, 4, 8 and 16 bits per pixel; grey, palette, RGB and RGBA. Pillow stretches grey values of
fewer than 8 bits to 0..255, which is undone here, since an index is not a brightness.
"""

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.data import formats
from seglib.data.image import MAX_PIXELS
from seglib.errors import BadImage

MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".gif", ".bmp"})
"""JPEG and WebP are not among them: they change values."""

_FORMATS = ("PNG", "TIFF", "GIF", "BMP")

_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_WHITE_IS_ZERO = 0


@dataclass(frozen=True, eq=False)
class RawMask:
    """What a mask file stores, before anything is known of its classes."""

    values: NDArray[np.uint16] | None
    """uint16 (H, W): grey values, or indices into `palette`; None if the file holds colours."""
    rgb: NDArray[np.uint8] | None
    """uint8 (H, W, 3); None if the file holds values."""
    palette: NDArray[np.uint8] | None
    """uint8 (256, 3): the colours of a palette file; None for grey."""
    bits: int
    """Bits per pixel and channel in the file."""

    @property
    def size_wh(self) -> tuple[int, int]:
        pixels = self.values if self.values is not None else self.rgb
        assert pixels is not None
        return pixels.shape[1], pixels.shape[0]

    @property
    def is_black(self) -> bool:
        """Whether every pixel is 0 and, in a palette, black: such a mask says nothing of its format."""
        return self.values is not None and not self.packed.any() and not self.values.any()

    @cached_property
    def used_values(self) -> list[int]:
        """The values that the mask holds, ascending."""
        assert self.values is not None
        flat = self.values.ravel()
        changes = flat[1:][flat[1:] != flat[:-1]]  # a tenth of the time of counting all pixels
        return np.flatnonzero(np.bincount(np.append(changes, flat[:1]))).tolist()

    @cached_property
    def packed(self) -> NDArray[np.uint32]:
        """uint32 (H, W): the colour of each pixel as 0xRRGGBB; grey values as they look with 8 bits."""
        if self.rgb is not None:
            return _pack_channels(self.rgb)
        assert self.values is not None
        table = np.arange(256, dtype=np.uint32) * np.uint32(0x10101)
        if self.palette is not None:
            table = _pack_channels(self.palette)
        return table[np.minimum(self.values, 255)]


def decode_raw(data: bytes) -> RawMask:
    """Decode a mask file. Raises `BadImage` with a sentence that says what was found."""
    try:
        if formats.identify(data) == "PNG":
            data = formats.drop_png_metadata(data)  # which may be large, and says nothing of the mask
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage("too_large", f"{image.width} x {image.height} is more than {MAX_PIXELS:,} pixels")
            bits = _count_bits(image, data)
            _refuse_unusable(image, bits)
            image.load()
            return _to_raw(image, bits)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage("too_large", f"more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # decoders may raise anything on hostile input
        raise BadImage("damaged", f"decoding failed: {type(error).__name__}") from None


def _pack_channels(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """uint32 (...): 0xRRGGBB of uint8 (..., 3)."""
    channels = rgb.astype(np.uint32)
    return np.asarray((channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2], np.uint32)


def _is_grey(colours: NDArray[np.uint8]) -> bool:
    """Whether red, green and blue are equal in each of these colours, uint8 (N, 3)."""
    return bool((colours == colours[:, :1]).all())


def _count_bits(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[24]  # in the header chunk
    if image.format == "TIFF":
        bits = image.tag_v2.get(_TIFF_BITS, (1,))  # type: ignore[attr-defined]
        return int(max(bits) if isinstance(bits, tuple) else bits)
    return 1 if image.mode == "1" else 8


def _refuse_unusable(image: Image.Image, bits: int) -> None:
    """Raise `BadImage` for files whose pixels have no certain value."""
    if getattr(image, "n_frames", 1) > 1:
        raise BadImage("unsupported", f"the file holds {getattr(image, 'n_frames', 1)} pictures: expected one")
    if image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:  # type: ignore[attr-defined]
        raise BadImage("unsupported", "the TIFF counts from white (WhiteIsZero): save it as PNG")
    if bits > 8 and image.mode not in ("I;16", "I;16B", "I;16L", "I"):
        raise BadImage("unsupported", f"{bits} bits per channel in mode {image.mode}: save it with 8 bits, or as grey")
    if image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "I", "I;16", "I;16B", "I;16L"):
        raise BadImage("unsupported", f"expected grey, palette or RGB, not mode {image.mode}")


def _to_raw(image: Image.Image, bits: int) -> RawMask:
    if image.mode in ("RGB", "RGBA", "LA"):
        return _from_channels(image, bits)
    stored = np.asarray(image)
    if image.mode == "I" and (stored.min(initial=0) < 0 or stored.max(initial=0) > 0xFFFF):
        raise BadImage("unsupported", f"values from {stored.min()} to {stored.max()}: expected 0 to 65535")
    values = stored.astype(np.uint16)
    if image.mode == "L" and bits < 8:
        values //= 255 // (2**bits - 1)  # Pillow has stretched them to 0..255
    colours = None
    if image.mode == "P":
        colours = np.zeros((256, 3), np.uint8)
        entries = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        colours[: len(entries)] = entries
        if image.format == "GIF" and _is_grey(colours[np.unique(values)]):  # GIF has no grey values, only palettes
            return RawMask(colours[values, 0].astype(np.uint16), None, None, bits)
    return RawMask(values, None, colours, bits)


def _from_channels(image: Image.Image, bits: int) -> RawMask:
    """Colours, or, where all channels are equal, the value that each of them holds."""
    if image.mode in ("RGBA", "LA"):
        alpha = np.unique(np.asarray(image.getchannel("A")))
        if not set(alpha.tolist()) <= {0, 255}:
            raise BadImage("unsupported", "half transparent pixels: expected a mask, not an overlay")
        if set(alpha.tolist()) == {0, 255}:  # what is transparent shows no class: black, the colour of the background
            clear = np.asarray(image.getchannel("A")) == 0
            opaque = np.asarray(image.convert("RGB")).copy()
            opaque[clear] = 0
            return _from_rgb(opaque, bits)
    return _from_rgb(np.asarray(image.convert("RGB")), bits)


def _from_rgb(rgb: NDArray[np.uint8], bits: int) -> RawMask:
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all():
        return RawMask(rgb[..., 0].astype(np.uint16), None, None, bits)
    return RawMask(None, rgb, None, bits)
