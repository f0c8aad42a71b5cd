"""Read from a photo's EXIF when, where and with which camera it was taken.

`read_exif` never raises: a value that is missing, damaged or implausible is None. Positions are rounded here, where
they are read, so that exact ones are kept nowhere unless the user asks for them.
"""

import io
import math
import re
import unicodedata
import warnings
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from PIL import ExifTags, Image

from seglib.data import formats

MAX_NAME_LENGTH = 60
"""Characters of a camera's name; longer ones are cut off."""

_MAX_BYTES = 1 << 20
"""A larger EXIF block is not read; in a JPEG it has at most 64 kB."""

_DATE = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
_COMPANY = re.compile(
    r"[ ,.]*\b(?:corporation|corp|company|co|ltd|limited|inc|imaging|optical|electronics|electric|techwin"
    r"|computer|industries|ag|gmbh)\b[ ,.]*",
    re.IGNORECASE,
)
_LONGEST_FOCAL_LENGTH = 10_000
_FRACTION_DIGITS = {"exact": 6, "rounded": 2}


class GpsPrecision(StrEnum):
    """How precisely the position of a photo is kept."""

    EXACT = "exact"
    """Six decimals of a degree: 0.1 m."""
    ROUNDED = "rounded"
    """Two decimals of a degree: up to 1.1 km."""
    OFF = "off"
    """Not at all."""


@dataclass(frozen=True)
class PhotoExif:
    taken: datetime | None = None
    """When the photo was taken by the camera's clock; EXIF has no reliable time zone."""
    camera: str | None = None
    """Make and model, such as "Canon EOS 5D" or "Apple iPhone 12"."""
    focal_length: float | None = None
    """Millimetres."""
    latitude: float | None = None
    """Degrees north, -90..90."""
    longitude: float | None = None
    """Degrees east, -180..180; set if and only if the latitude is."""


def read_exif(data: bytes, gps: GpsPrecision) -> PhotoExif:
    """Read the EXIF of an image file's content."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about damaged metadata
            return _read(data, gps)
    except Exception:  # parsers may raise anything on hostile input, and metadata are not worth a photo
        return PhotoExif()


def _read(data: bytes, gps: GpsPrecision) -> PhotoExif:
    kind = formats.identify(data)
    if kind is None or not formats.may_hold_exif(data, kind):
        return PhotoExif()
    if kind == "PNG":
        data = formats.drop_png_metadata(data)
    if kind == "HEIF":
        formats.enable_heif()
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if len(image.info.get("exif", b"")) > _MAX_BYTES:
            return PhotoExif()
        main = image.getexif()
        details = _directory(main, ExifTags.IFD.Exif)
        position = {} if gps is GpsPrecision.OFF else _directory(main, ExifTags.IFD.GPSInfo)
    latitude, longitude = _position(position, gps)
    return PhotoExif(
        taken=_date(details.get(ExifTags.Base.DateTimeOriginal)) or _date(details.get(ExifTags.Base.DateTimeDigitized)),
        camera=clean_camera(_get(main, ExifTags.Base.Make), _get(main, ExifTags.Base.Model)),
        focal_length=_focal_length(details.get(ExifTags.Base.FocalLength)),
        latitude=latitude,
        longitude=longitude,
    )


def _directory(main: Image.Exif, directory: ExifTags.IFD) -> dict[int, object]:
    try:
        return dict(main.get_ifd(directory))
    except Exception:  # a damaged directory does not affect the other one
        return {}


def _get(main: Image.Exif, tag: ExifTags.Base) -> object:
    try:
        return main.get(tag)
    except Exception:  # nor does a damaged tag
        return None


def _date(value: object) -> datetime | None:
    match = _DATE.match(value.strip()) if isinstance(value, str) else None
    if match is None or not _FIRST_YEAR <= int(match[1]) <= _LAST_YEAR:
        return None
    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def clean_camera(make: object, model: object) -> str | None:
    """One name from make and model, without the maker's legal form and without its name twice; None without a model.

    "NIKON CORPORATION" and "NIKON D90" yield "NIKON D90"; "Apple" and "iPhone 12" yield "Apple iPhone 12".
    """
    maker, name = _clean_text(make), _clean_text(model)
    if not name:
        return None
    maker = _COMPANY.sub(" ", maker).strip() or maker
    words = {word.casefold() for word in _clean_text(make).split()}
    named = name.split()[0].casefold() in words or name.casefold().startswith(maker.casefold())
    return (name if named or not maker else f"{maker} {name}")[:MAX_NAME_LENGTH].strip()


def _clean_text(value: object) -> str:
    """Visible characters and single spaces, up to the first NUL; empty for anything but a text."""
    if not isinstance(value, str):
        return ""
    text = unicodedata.normalize("NFC", value.partition("\0")[0][: 4 * MAX_NAME_LENGTH])
    visible = (sign if unicodedata.category(sign)[0] not in "CZ" else " " for sign in text)
    return " ".join("".join(visible).split())


def _focal_length(value: object) -> float | None:
    length = _number(value)
    return round(length, 2) if length is not None and 0 < length < _LONGEST_FOCAL_LENGTH else None


def _position(directory: dict[int, object], gps: GpsPrecision) -> tuple[float, float] | tuple[None, None]:
    """(latitude, longitude) in degrees. Both 0 is what cameras write that do not know where they are: None."""
    latitude = _degrees(directory.get(ExifTags.GPS.GPSLatitude), directory.get(ExifTags.GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(
        directory.get(ExifTags.GPS.GPSLongitude), directory.get(ExifTags.GPS.GPSLongitudeRef), "EW", 180
    )
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return round_position(latitude, gps), round_position(longitude, gps)


def round_position(degrees: float, gps: GpsPrecision) -> float:
    """Latitude or longitude, rounded; `gps` must not be `OFF`."""
    return round(degrees, _FRACTION_DIGITS[gps.value]) + 0.0  # no negative zero


def _degrees(value: object, reference: object, signs: str, limit: int) -> float | None:
    sign = reference.strip("\0 ").upper() if isinstance(reference, str) else ""
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3 or len(sign) != 1 or sign not in signs:
        return None
    parts = [_number(part) for part in value]
    total = 0.0
    for part, unit in zip(parts, (1, 60, 3600), strict=False):
        if part is None or part < 0:
            return None
        total += part / unit
    return (-total if sign == signs[1] else total) if total <= limit else None


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None
