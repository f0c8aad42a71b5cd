"""What would keep Pillow from the pixels of a sound file: metadata of any size, a missing end, an orientation in it."""

import io
import struct
import sys
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image

from seglib.data import formats, image
from seglib.data.image import decode
from seglib.errors import BadImage

TURNS = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: np.rot90(np.fliplr(a)),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(np.fliplr(a), -1), 8: np.rot90,
}  # fmt: skip
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@cache
def scene(size_wh: tuple[int, int] = (48, 32)) -> Image.Image:
    """A smooth picture without any symmetry."""
    columns, rows = np.meshgrid(np.linspace(0, 255, size_wh[0]), np.linspace(0, 255, size_wh[1]))
    return Image.fromarray(np.dstack([columns, rows, (columns * rows) / 255]).astype(np.uint8))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_block(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """EXIF with these directory entries: tag, type, count, four bytes of value or place."""
    packed = b"".join(struct.pack(order + "HHL", tag, kind, count) + value for tag, kind, count, value in entries)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HLH", 42, 8, len(entries))
    return b"Exif\0\0" + head + packed + bytes(4)


def orientation(value: int, order: str = "<") -> tuple[int, int, int, bytes]:
    return 274, 3, 1, struct.pack(order + "HH", value, 0)


def difference(data: bytes, wanted: np.ndarray) -> float:
    """Mean absolute difference of what is decoded; infinite if the size differs."""
    found = np.asarray(decode(data)).astype(int)
    return float(np.abs(found - wanted).mean()) if found.shape == wanted.shape else np.inf


def reason_of(data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(data)
    return caught.value.reason


# --- orientation ---


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "AVIF"])
def test_the_orientation_turns_the_picture(turn, order, kind):
    data = encoded(scene(), kind, quality=95, exif=exif_block(orientation(turn, order), order=order))
    assert difference(data, TURNS[turn](np.asarray(scene()))) < 4


BROKEN = {
    "a resolution that is text": (282, 2, 99, struct.pack("<L", 99_999)),
    "a number beyond the end": (283, 5, 1, struct.pack("<L", 99_999)),
    "a type that does not exist": (271, 77, 3, b"abcd"),
    "a directory beyond the end": (0x8769, 4, 1, struct.pack("<L", 99_999)),
    "a huge count": (270, 3, 0xFFFFFFFF, struct.pack("<L", 8)),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_broken_tag_beside_the_orientation_does_not_matter(broken, first, kind):
    entries = (BROKEN[broken], orientation(6)) if first else (orientation(6), BROKEN[broken])
    assert difference(encoded(scene(), kind, quality=95, exif=exif_block(*entries)), np.rot90(scene(), -1)) < 4


def test_broken_exif_in_an_avif_does_not_matter():
    sound = encoded(scene(), "AVIF", quality=95, exif=exif_block(orientation(6), (270, 2, 4, b"abc\0")))
    place = sound.index(b"II*\0")
    broken = sound[: place + 8] + b"\xff" * 8 + sound[place + 16 :]
    for data in (sound, broken):
        assert difference(data, np.rot90(scene(), -1)) < 4


@pytest.mark.parametrize(
    "entry",
    [
        orientation(0),
        orientation(9),
        (274, 4, 1, struct.pack("<L", 6)),
        (274, 2, 2, b"6\0\0\0"),
        (274, 3, 2, struct.pack("<HH", 6, 6)),
    ],
    ids=["0", "9", "LONG", "text", "two"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_no_orientation_turns_nothing(entry, kind):
    assert difference(encoded(scene(), kind, quality=95, exif=exif_block(entry)), np.asarray(scene())) < 4


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0XX*\0abcd"]
)
def test_exif_that_cannot_be_read_turns_nothing(block):
    assert difference(encoded(scene(), "JPEG", quality=95, exif=block), np.asarray(scene())) < 4


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_an_orientation_in_xmp_turns_nothing(kind):
    data = encoded(scene(), kind, quality=95, xmp=XMP)
    if kind == "PNG":
        data = with_chunk(data, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP, after=False)
    assert b"tiff:Orientation" in data
    assert difference(data, np.asarray(scene())) < 4


def test_webp_is_not_turned_as_browsers_do_not_turn_it():
    assert difference(encoded(scene(), "WEBP", quality=95, exif=exif_block(orientation(6))), np.asarray(scene())) < 4


# --- PNG ---


def with_chunk(png: bytes, kind: bytes, content: bytes, *, after: bool, crc: int | None = None) -> bytes:
    """The PNG with one more chunk, behind its header or behind its pixels."""
    place = len(png) - 12 if after else 33
    crc = zlib.crc32(kind + content) if crc is None else crc
    chunk = struct.pack(">L", len(content)) + kind + content + struct.pack(">L", crc)
    return png[:place] + chunk + png[place:]


LARGE = zlib.compress(b"a" * 3_000_000)
METADATA = {
    "profile": (b"iCCP", b"name\0\0" + LARGE),
    "profile of an unknown compression": (b"iCCP", b"name\0\7" + LARGE),
    "compressed text": (b"zTXt", b"name\0\0" + LARGE),
    "international text": (b"iTXt", b"name\0\1\0\0\0" + LARGE),
    "XMP": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
    "long text": (b"tEXt", b"name\0" + b"a" * 70_000_000),
    "a gamma that is cut off": (b"gAMA", b"a"),
    "a resolution that is cut off": (b"pHYs", b"abc"),
}


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("after", [False, True])
def test_metadata_of_a_png_does_not_keep_from_its_pixels(kind, after):
    data = with_chunk(encoded(scene(), "PNG"), *METADATA[kind], after=after)
    assert difference(data, np.asarray(scene())) == 0


def test_a_wrong_checksum_of_a_text_does_not_matter_but_one_of_the_pixels_does():
    assert (
        difference(with_chunk(encoded(scene(), "PNG"), b"tEXt", b"a\0b", after=False, crc=1), np.asarray(scene())) == 0
    )
    broken = bytearray(encoded(scene(), "PNG"))
    broken[-20] ^= 1
    assert reason_of(bytes(broken)) in ("damaged", "truncated")


def test_only_chunks_without_pixels_are_dropped():
    plain = encoded(scene(), "PNG")
    assert formats.drop_png_metadata(plain) is plain
    frames = encoded(scene(), "PNG", save_all=True, append_images=[scene().rotate(90)], exif=exif_block(orientation(6)))
    assert formats.drop_png_metadata(frames) is frames
    indexed = encoded(scene().convert("P"), "PNG", transparency=3)
    assert b"tRNS" in formats.drop_png_metadata(with_chunk(indexed, b"tIME", bytes(7), after=False))
    for end in (0, 8, 20, 40, len(plain) - 6):  # cut anywhere
        assert formats.drop_png_metadata(plain[:end]) == plain[:end]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png_is_white_at_every_depth(bits):
    width, most = 16, 2**bits - 1
    values = np.minimum(np.arange(width), most)
    binary = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(width, 2), axis=1)[:, -bits:]
    content = zlib.compress(b"\0" + np.packbits(binary.ravel()).tobytes())
    data = png_of(width, bits, 0, content, (b"tRNS", struct.pack(">H", 1)))
    shades = values * 255 // most if bits < 16 else values >> 8
    assert np.asarray(decode(data))[0, :, 0].tolist() == np.where(values == 1, 255, shades).tolist()


def test_the_transparent_colour_of_a_png_of_16_bits_is_white():
    pixels = np.array([[0x1234, 0x5678, 0x9ABC], [0x2234, 0x5678, 0x9ABC]], ">u2")
    data = png_of(2, 16, 2, zlib.compress(b"\0" + pixels.tobytes()), (b"tRNS", pixels[0].tobytes()))
    assert np.asarray(decode(data))[0].tolist() == [[255, 255, 255], [0x22, 0x56, 0x9A]]


def png_of(width: int, bits: int, colours: int, content: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    header = (b"IHDR", struct.pack(">LLBBBBB", width, 1, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
        for kind, data in (header, *chunks, (b"IDAT", content), (b"IEND", b""))
    )


# --- JPEG without an end ---

JPEG_KINDS = [
    {"mode": mode, "progressive": progressive, "subsampling": subsampling, "optimize": progressive}
    for mode in ("RGB", "L", "CMYK")
    for progressive in (False, True)
    for subsampling in (0, 2)
]


def jpeg(mode: str, size_wh: tuple[int, int] = (61, 43), **options: object) -> bytes:
    return encoded(scene(size_wh).convert(mode), "JPEG", quality=90, **options)


@pytest.mark.parametrize("how", JPEG_KINDS, ids=str)
@pytest.mark.parametrize("size_wh", [(61, 43), (64, 64), (8, 200)])
def test_a_jpeg_without_its_end_marker_loses_no_pixel(how, size_wh):
    data = jpeg(size_wh=size_wh, **how)
    for cut in (1, 2):
        assert difference(data[:-cut], np.asarray(decode(data))) == 0


@pytest.mark.parametrize("how", JPEG_KINDS, ids=str)
def test_a_jpeg_with_missing_pixels_stays_truncated(how):
    data = jpeg(size_wh=(203, 150), **how)
    for cut in (8, 12, 40, len(data) // 4, len(data) // 2):
        assert reason_of(data[:-cut]) == "truncated"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_plain_picture_is_no_proof_that_nothing_is_missing(progressive):
    """libjpeg fills with the last colour, which here is the right one."""
    data = encoded(Image.new("RGB", (320, 240), (90, 120, 40)), "JPEG", progressive=progressive)
    assert reason_of(data[: len(data) - 60]) == "truncated"


def test_a_progressive_jpeg_that_lacks_a_whole_scan_is_truncated():
    data = jpeg("RGB", progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    tables = [data.rfind(b"\xff\xc4", 0, at) for at in scans]
    assert len(scans) > 3
    for end in (scans[-1], tables[-1], tables[2]):
        assert reason_of(data[:end]) == "truncated"


def test_a_jpeg_of_12_bits_is_unsupported():
    data = bytearray(jpeg("RGB"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(BadImage, match=r"unsupported.*12 bits"):
        decode(bytes(data))


# --- AVIF and HEIC ---


def test_avif_is_read_and_damage_is_a_failure():
    data = encoded(scene(), "AVIF", quality=95)
    assert difference(data, np.asarray(scene())) < 4
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    assert difference(encoded(clear, "AVIF", quality=95), np.full((32, 48, 3), 255)) < 2
    for end in (20, len(data) // 2, len(data) - 10):
        assert reason_of(data[:end]) in ("truncated", "damaged")


def test_an_avif_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(image, "MAX_PIXELS", 48 * 32 - 1)
    assert reason_of(encoded(scene(), "AVIF")) == "too_large"


def test_heic_without_the_extra_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brand in (b"heic", b"heix", b"mif1", b"msf1"):
        data = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100)
        with pytest.raises(BadImage, match=r"unsupported.*\.\[heic\]"):
            decode(data)


@pytest.mark.parametrize("turn", TURNS)
def test_heic_is_turned_once(turn):
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(scene((128, 80))).save(buffer, quality=95, exif=exif_block(orientation(turn)))
    data = buffer.getvalue()
    assert difference(data, TURNS[turn](np.asarray(scene((128, 80))))) < 4
    for end in (40, len(data) // 2):
        assert reason_of(data[:end]) in ("truncated", "damaged")


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ],
)
def test_containers_are_told_apart_by_their_brands(begin, kind):
    assert formats.identify(begin) == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_every_format_is_identified_and_a_broken_header_is_damage(kind):
    data = encoded(scene(), kind)
    assert formats.identify(data) == kind
    assert kind in formats.IMAGE_FORMATS
    assert reason_of(data[:16]) in ("damaged", "truncated")
