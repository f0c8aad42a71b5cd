"""Decode image files to upright 8-bit RGB, resize them and make thumbnails.

`read_image` returns a `DecodedImage` (uint8 (H, W, 3) RGB) or raises `BadImage` with a reason. This is the only
decoder, so runs, thumbnails, predictions and pages all use the same pixels. It runs in worker processes and therefore
imports nothing heavier than Pillow and NumPy.
"""

import hashlib
import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from seglib.data.resize import Resize, resize_image
from seglib.errors import BadImage

DECODER = "pillow-bilinear-1"
"""Part of each run's digest. Change it whenever decoding, alpha, EXIF handling or resampling changes pixels."""

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 89_478_485
"""Pillow's decompression bomb limit: larger images fail as `too_large` before they are decoded."""
MAX_BYTES = 1_000_000_000
"""Maximum file size. The largest allowed images take 0.7 GB uncompressed; larger files are not read."""
MAX_MEMORY = 4 * 2**30
"""Maximum memory per file in bytes; the largest images need two thirds of it. More fails as `too_large`."""
MAX_SECONDS = 60.0
"""Maximum CPU time per file in a worker. More fails as `too_slow`."""

FAILURE_REASONS = {
    "empty": "the file has no bytes",
    "unreadable": "the operating system refuses to read the file or folder",
    "not_an_image": "the content is none of " + ", ".join(IMAGE_FORMATS),
    "truncated": "the picture ends before its last row",
    "damaged": "the decoder gave up on the content",
    "too_large": f"more than {MAX_PIXELS:,} pixels or {MAX_BYTES // 10**9} GB, or too much memory to decode",
    "too_slow": f"decoding takes more than {MAX_SECONDS:.0f} s of processor time",
    "unsupported": "a pixel format without a defined range, such as 32-bit floats",
    "vanished": "the file was there at an earlier scan and is gone",
}

THUMBNAIL_SIDE = 320

IMAGE_ID_PATTERN = "[0-9a-f]{32}"


@dataclass(frozen=True)
class DecodedImage:
    image_id: str
    """First 32 hex digits of the SHA-256 of the file's bytes."""
    width: int
    height: int
    """Size in pixels after EXIF rotation, before resizing."""
    image: NDArray[np.uint8]
    """uint8 (H, W, 3) RGB, resized by the rule."""
    thumbnail: bytes
    """JPEG with a long side of at most 320 pixels; empty if not requested."""


def read_image(path: Path, resize: Resize | None, *, thumbnail: bool = True) -> DecodedImage:
    """Read a file once; return its ID, size, pixels (none without `resize`) and thumbnail. Raises `BadImage`."""
    data = read_bytes(path)
    upright = decode(data)
    return DecodedImage(
        image_id=compute_image_id(data),
        width=upright.width,
        height=upright.height,
        image=np.zeros((0, 0, 3), np.uint8) if resize is None else resize_image(upright, resize),
        thumbnail=make_thumbnail(upright) if thumbnail else b"",
    )


def read_bytes(path: Path) -> bytes:
    """Read a regular file of at most `MAX_BYTES`. Raises `BadImage`."""
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            data = _read_content(file)
    except FileNotFoundError:
        raise BadImage("unreadable", "The file is gone, or its name is not valid UTF-8: rename it.") from None
    except IsADirectoryError:
        raise BadImage("unreadable", "This folder cannot be listed: check its permissions.") from None
    except OSError as error:
        raise BadImage("unreadable", f"Reading failed: {error.strerror or type(error).__name__}.") from None
    if not data:
        raise BadImage("empty", "The file has no bytes.")
    return data


def _read_content(file: IO[bytes]) -> bytes:
    file_stat = os.fstat(file.fileno())
    if not stat.S_ISREG(file_stat.st_mode):
        raise BadImage("unreadable", "This is not a regular file.")
    if file_stat.st_size > MAX_BYTES:
        raise BadImage("too_large", f"The file has {file_stat.st_size:,} bytes, more than {MAX_BYTES:,}.")
    return file.read(file_stat.st_size)


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without blocking, in case the file has become a pipe without a writer since the scan."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def is_image_id(text: str) -> bool:
    """Whether the text has the form of an image_id: 32 hex digits."""
    return re.fullmatch(IMAGE_ID_PATTERN, text) is not None


def compute_image_id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def decode(data: bytes) -> Image.Image:
    """Decode the first frame as 8-bit RGB, rotated by its EXIF orientation, with transparency composited on white.

    Raises `BadImage`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            _check_size(image)
            image.load()
            return _to_rgb(_apply_orientation(image))
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage("not_an_image", f"The content is none of {', '.join(IMAGE_FORMATS)}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage("too_large", f"More than {MAX_PIXELS:,} pixels.") from None
    except MemoryError:
        raise BadImage("too_large", "There is not enough memory to decode it.") from None
    except Exception as error:  # decoders may raise anything on hostile input
        reason = "truncated" if "truncated" in str(error) else "damaged"
        raise BadImage(reason, f"Decoding failed: {_describe_error(error)}.") from None


def make_thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage("too_large", f"{image.width} x {image.height} is more than {MAX_PIXELS:,} pixels.")


def _apply_orientation(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF does not affect the pixels: keep the image unrotated
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # 16-bit grey: Pillow's conversion would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F", "LAB"):
        raise BadImage("unsupported", f"Pixels of Pillow's mode {image.mode} have no defined 8-bit range.")
    if image.has_transparency_data:
        upon_white = Image.new("RGBA", image.size, "white")
        upon_white.alpha_composite(image.convert("RGBA"))
        return upon_white.convert("RGB")
    return image.convert("RGB")


def _describe_error(error: Exception) -> str:
    """Format a decoder's error message on one line, without anything that looks like an object or a path."""
    words = re.sub(r"<[^>]*>|/\S+", "…", str(error)).replace("\n", " ").strip(" .")
    return f"{type(error).__name__} {words}".strip()[:160]
