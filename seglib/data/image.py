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
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from seglib.data import formats
from seglib.data.formats import IMAGE_FORMATS
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.photo_measures.measures import PhotoMeasures, measure_photo
from seglib.data.resize import Resize, resize_image
from seglib.data.tiff import decoding as tiff
from seglib.data.tiff import tags as tiff_tags
from seglib.errors import BadImage

DECODER = "pillow-bilinear-1"
"""Part of each run's digest. Change it whenever decoding, alpha, EXIF handling or resampling changes pixels."""

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
    "unsupported": "a kind of pixels that is not read, such as 32-bit floats, or HEIC without its extra",
    "vanished": "the file was there at an earlier scan and is gone",
}

_OLD_DETAILS = ("Decoding failed: ", "The content is none of JPEG, PNG, WEBP, BMP, GIF, TIFF.")
"""How versions that read fewer files began the details of a failure; this one must not."""

THUMBNAIL_SIDE = 320

IMAGE_ID_PATTERN = "[0-9a-f]{32}"


@dataclass(frozen=True)
class Extras:
    """What is made of an image besides its pixels while it is decoded."""

    thumbnail: bool = False
    measures: GpsPrecision | None = None
    """How precisely its position is kept in its measures; None: it is not measured."""


ONLY_THUMBNAIL = Extras(thumbnail=True)


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
    measures: PhotoMeasures | None = None
    """None if not requested."""


def read_image(file: Path | bytes, resize: Resize, extras: Extras = ONLY_THUMBNAIL) -> DecodedImage:
    """Read a file, or take its bytes; return its ID, size, resized pixels and the `extras`. Raises `BadImage`."""
    data = file if isinstance(file, bytes) else read_bytes(file)
    upright = decode(data)
    image = resize_image(upright, resize)
    size_wh = upright.size
    if extras != Extras():
        _shrink(upright)
    return _make_extras(data, size_wh, image, upright, extras)


def read_thumbnail(file: Path | bytes, extras: Extras = ONLY_THUMBNAIL) -> DecodedImage:
    """Read a file, or take its bytes; return its ID, size and the `extras`, but no pixels. Raises `BadImage`.

    A large JPEG is decoded at a fraction of its size, which takes a fifth of the time.
    """
    data = file if isinstance(file, bytes) else read_bytes(file)
    size_wh, reduced = _reduce_jpeg(data) or _reduce(decode(data))
    return _make_extras(data, size_wh, np.zeros((0, 0, 3), np.uint8), reduced, extras)


def _make_extras(
    data: bytes, size_wh: tuple[int, int], image: NDArray[np.uint8], reduced: Image.Image, extras: Extras
) -> DecodedImage:
    return DecodedImage(
        image_id=compute_image_id(data),
        width=size_wh[0],
        height=size_wh[1],
        image=image,
        thumbnail=_encode_thumbnail(reduced) if extras.thumbnail else b"",
        measures=None if extras.measures is None else measure_photo(reduced, size_wh, data, extras.measures),
    )


def _reduce(upright: Image.Image) -> tuple[tuple[int, int], Image.Image]:
    """Size of a decoded image, and a reduced copy of it."""
    return upright.size, _shrink(upright)


def _reduce_jpeg(data: bytes) -> tuple[tuple[int, int], Image.Image] | None:
    """Size of a JPEG and a copy of it by a reduced decoding; None if it is no plain JPEG, or anything is wrong."""
    if formats.identify(data) != "JPEG":
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            _check_size(image)
            (width, height), exif = image.size, image.info.get("exif", b"")
            lies_on_its_side = tiff_tags.turn_upright(Image.new("1", (2, 1)), exif).size == (1, 2)
            image.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
            image.load()
            upright = _to_rgb(tiff_tags.turn_upright(image, exif))
            return (height, width) if lies_on_its_side else (width, height), _shrink(upright)
    except Exception:  # `decode` says what is wrong, or reads it all the same
        return None


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
    """Decode the first frame as 8-bit RGB, upright, with transparency composited on white.

    Turned by the orientation in EXIF (JPEG, PNG, TIFF) or in the format's own boxes (AVIF, HEIC), as browsers do.
    Raises `BadImage`.
    """
    kind = formats.identify(data)
    if kind is None:
        raise BadImage("not_an_image", f"The content is none of {', '.join(IMAGE_FORMATS)}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about metadata
            return _to_rgb(_load(data, kind))
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise _explain_header(data, kind) from None
    except Image.DecompressionBombError:
        raise BadImage("too_large", f"More than {MAX_PIXELS:,} pixels.") from None
    except MemoryError:
        raise BadImage("too_large", "There is not enough memory to decode it.") from None
    except Exception as error:  # decoders may raise anything on hostile input
        raise _explain_error(data, kind, error) from None


def _load(data: bytes, kind: str) -> Image.Image:
    """Decode to upright pixels in a mode of Pillow's. Raises whatever a decoder raises."""
    if kind == "PNG":
        data = formats.drop_png_metadata(data)
    elif kind in ("AVIF", "HEIF"):
        data = formats.hide_heif_exif(data)
    if kind == "HEIF":
        formats.enable_heif()
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        _check_size(image)
        if kind == "TIFF":
            return tiff.decode(image, data)
        try:
            image.load()
        except OSError as error:
            if kind != "JPEG" or "truncated" not in str(error):
                raise
            return _load_without_end(data, error)
        if kind == "PNG":
            return tiff_tags.turn_upright(formats.scale_png_transparency(image, data), image.info.get("exif", b""))
        return tiff_tags.turn_upright(image, image.info.get("exif", b"") if kind in ("JPEG", "AVIF") else b"")


def _load_without_end(data: bytes, error: OSError) -> Image.Image:
    """Decode a JPEG that ends before its end marker if no pixel is missing; else raise the error.

    libjpeg fills missing pixels without a word. They are told from real ones by decoding again with noise after the
    last byte, which decodes as pixels only if some are missing.
    """
    if not formats.delivers_all_scans(data):
        raise error
    rest = data.rstrip(b"\xff")  # half an end marker
    with_end = _load(rest + formats.JPEG_END, "JPEG")
    try:
        is_whole = all(_load(rest + noise, "JPEG").tobytes() == with_end.tobytes() for noise in formats.JPEG_NOISES)
    except OSError:  # noise is no valid data
        is_whole = False
    if not is_whole:
        raise error
    return with_end


def _explain_header(data: bytes, kind: str) -> BadImage:
    if kind == "TIFF":
        return tiff.explain_failure(data)
    if kind == "JPEG" and formats.is_12_bit_jpeg(data):
        return BadImage("unsupported", "A JPEG of 12 bits is not read: save it with 8 bits.")
    return BadImage("damaged", f"It begins as {kind}, but the rest is damaged or missing.")


def _explain_error(data: bytes, kind: str, error: Exception) -> BadImage:
    if kind == "TIFF" and (explained := tiff.explain_failure(data)).reason != "unsupported":
        return explained
    reason = "truncated" if "truncated" in str(error) else "damaged"
    return BadImage(reason, f"The decoder stopped: {_describe_error(error)}.")


def is_worth_retrying(detail: str) -> bool:
    """Whether a failure in a store may be over: an older version wrote it, or the extra that it names is installed."""
    return detail.startswith(_OLD_DETAILS) or (formats.HEIF_REMEDY in detail and formats.has_heif())


def _shrink(image: Image.Image) -> Image.Image:
    """Make the image itself as small as a thumbnail, and return it."""
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
    return image


def _encode_thumbnail(reduced: Image.Image) -> bytes:
    buffer = io.BytesIO()
    reduced.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise BadImage("too_large", f"{image.width} x {image.height} is more than {MAX_PIXELS:,} pixels.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        upon_white = Image.new("RGBA", image.size, "white")
        upon_white.alpha_composite(image.convert("RGBA"))
        return upon_white.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _describe_error(error: Exception) -> str:
    """Format a decoder's error message on one line, without anything that looks like an object or a path."""
    words = re.sub(r"<[^>]*>|/\S+", "…", str(error)).replace("\n", " ").strip(" .")
    return f"{type(error).__name__} {words}".strip()[:160]
