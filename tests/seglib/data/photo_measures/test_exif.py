"""EXIF of every format, and hostile EXIF, which never harms a photo."""

import io
import struct
from datetime import datetime
from fractions import Fraction

import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from seglib.data import formats
from seglib.data.image import Extras, decode, read_image
from seglib.data.photo_measures.exif import MAX_NAME_LENGTH, GpsPrecision, PhotoExif, clean_camera, read_exif
from seglib.data.resize import Resize

ROUNDED = GpsPrecision.ROUNDED
NONE = PhotoExif()


def rational(value: float) -> TiffImagePlugin.IFDRational:
    fraction = Fraction(value).limit_denominator(10_000)
    return TiffImagePlugin.IFDRational(fraction.numerator, fraction.denominator)


def make_exif(main: dict | None = None, details: dict | None = None, gps: dict | None = None) -> Image.Exif:
    exif = Image.Exif()
    for tag, value in (main or {}).items():
        exif[tag] = value
    for directory, values in ((ExifTags.IFD.Exif, details), (ExifTags.IFD.GPSInfo, gps)):
        if values:
            exif.get_ifd(directory).update(values)
    return exif


FULL = make_exif(
    {271: "Canon", 272: "Canon EOS 5D"},
    {0x9003: "2024:03:31 12:00:05", 0x920A: rational(50)},
    {
        1: "S",
        2: (rational(33), rational(51), rational(25.2)),
        3: "E",
        4: (rational(151), rational(12), rational(36)),
    },
)
EXPECTED = PhotoExif(datetime(2024, 3, 31, 12, 0, 5), "Canon EOS 5D", 50.0, -33.86, 151.21)


def encode(kind: str, exif: Image.Exif | bytes) -> bytes:
    buffer = io.BytesIO()
    block = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    Image.new("RGB", (64, 64), "red").save(buffer, kind, exif=block)
    return buffer.getvalue()


def read(main: dict | None = None, details: dict | None = None, gps: dict | None = None) -> PhotoExif:
    return read_exif(encode("JPEG", make_exif(main, details, gps)), ROUNDED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_is_read_from_every_format_that_has_it(kind):
    assert read_exif(encode(kind, FULL), ROUNDED) == EXPECTED


def test_exif_is_read_from_heic():
    pytest.importorskip("pillow_heif")
    formats.enable_heif()
    assert read_exif(encode("HEIF", FULL), ROUNDED) == EXPECTED


def test_positions_are_as_precise_as_asked_for():
    photo = encode("JPEG", FULL)
    exact, off = (read_exif(photo, precision) for precision in (GpsPrecision.EXACT, GpsPrecision.OFF))
    assert (exact.latitude, exact.longitude) == (-33.857, 151.21)
    assert (off.latitude, off.longitude, off.camera) == (None, None, "Canon EOS 5D")


def test_measures_come_with_the_photo(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode("JPEG", FULL))
    measures = read_image(tmp_path / "a.jpg", Resize("32"), Extras(measures=ROUNDED)).measures
    assert measures is not None
    assert measures.exif == EXPECTED
    assert measures.to_row()["gps"] == "rounded"
    assert read_image(tmp_path / "a.jpg", Resize("32")).measures is None


@pytest.mark.parametrize(
    "text",
    [
        *("0000:00:00 00:00:00", "2024:02:30 12:00:00", "9999:99:99 99:99:99", "1234:01:01 00:00:00"),
        *("    :  :     :  :  ", "", "yesterday", "٢٠٢٤:03:31 12:00:05", "2024:03:31 24:00:00"),
    ],
)
def test_a_garbage_date_is_no_date(text):
    assert read(details={0x9003: text}) == NONE


@pytest.mark.parametrize("text", ["2024-03-31 12:00:05", "2024/03/31 12:00:05", "2024:03:31 12:00:05.123+02:00"])
def test_other_ways_to_write_a_date_are_read(text):
    assert read(details={0x9003: text}).taken == datetime(2024, 3, 31, 12, 0, 5)


def test_a_digitised_photo_has_the_date_of_its_scan():
    assert read(details={0x9004: "2001:01:01 00:00:00"}).taken == datetime(2001, 1, 1)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("OLYMPUS IMAGING CORP.  ", "E-500           ", "OLYMPUS E-500"),
        ("EASTMAN KODAK COMPANY", "KODAK DC4800", "KODAK DC4800"),
        ("FUJIFILM", "FinePix S5\0\0garbage", "FUJIFILM FinePix S5"),
        ("Samsung Techwin", "<b>x\x07</b>\u202e", "Samsung <b>x </b>"),
        ("", "Pixel\n7", "Pixel 7"),
        ("Google", "", None),
        (b"\xff\xfe", 7, None),
        (None, None, None),
        ("x", "y" * 100_000, "x " + "y" * (MAX_NAME_LENGTH - 2)),
    ],
)
def test_a_camera_is_named_once_and_cleanly(make, model, camera):
    assert clean_camera(make, model) == camera


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 0), (50, 0), (0, 1), (4_000_000_000, 1)])
def test_a_focal_length_out_of_any_range_is_none(numerator, denominator):
    value = TiffImagePlugin.IFDRational(numerator, denominator)
    assert read(details={0x920A: value}) == NONE


@pytest.mark.parametrize(
    "gps",
    [
        {2: (rational(33), rational(0), rational(0)), 4: (rational(1), rational(0), rational(0))},
        {1: "X", 2: (rational(33), rational(0), rational(0)), 3: "E", 4: (rational(1), rational(0), rational(0))},
        {1: "N", 2: (rational(91), rational(0), rational(0)), 3: "E", 4: (rational(1), rational(0), rational(0))},
        {1: "N", 2: (rational(33), rational(0), rational(0)), 3: "E"},
        {1: "N", 2: (TiffImagePlugin.IFDRational(1, 0),) * 3, 3: "E", 4: (rational(1), rational(0), rational(0))},
        {1: "N", 2: (rational(0),) * 3, 3: "E", 4: (rational(0),) * 3},
    ],
    ids=["no reference", "wrong reference", "beyond the pole", "half a position", "zero denominator", "null island"],
)
def test_a_position_that_is_not_whole_is_none(gps):
    assert read(gps=gps) == NONE


def test_every_truncation_and_every_flipped_byte_of_exif_leaves_the_photo_readable():
    block = FULL.tobytes()
    for cut in range(0, len(block), 3):
        photo = encode("JPEG", block[:cut])
        read_exif(photo, ROUNDED)
        assert decode(photo).size == (64, 64)
    for place in range(6, len(block)):
        for value in (0, 0xFF):
            read_exif(encode("JPEG", block[:place] + bytes([value]) + block[place + 1 :]), ROUNDED)


def test_a_directory_that_points_to_itself_ends():
    block = b"Exif\0\0II*\0" + struct.pack("<L", 8) + struct.pack("<HHHLL", 1, 0x8769, 4, 1, 8) + struct.pack("<L", 8)
    assert read_exif(encode("JPEG", block), ROUNDED) == NONE


def test_exif_of_a_megabyte_is_not_read():
    assert read_exif(encode("PNG", make_exif({271: "Canon", 272: "x" * (1 << 20)})), ROUNDED) == NONE


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II*\0", b"II*\0\xff\xff\xff\xff"]
)
def test_what_is_no_photo_has_no_exif(data):
    assert read_exif(data, ROUNDED) == NONE
