"""Pictures that were made to do harm: mutations of small ones in all formats that are opened, bombs, endless ones.

In: a seed. Out: (file name, bytes).
"""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache

from PIL import Image, PngImagePlugin

FORMATS = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "AVIF": ".avif",
}
BOMB_SIDE = 50_000
LARGEST = (9472, 9446)
"""As large as is allowed: 89,472,512 pixels."""


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` files, each a real picture to which one to three things were done."""
    chance = random.Random(seed)
    grounds = [(suffix, data) for suffix, data in _grounds()]
    for number in range(count):
        suffix, data = chance.choice(grounds)
        done = chance.choices(MUTATIONS, k=chance.choice((1, 1, 1, 2, 3)))
        for mutate in done:
            data = mutate(data, chance)
        if chance.random() < 0.15:
            suffix = chance.choice(list(FORMATS.values()))
        name = done[0].__name__.strip("_")
        yield f"{name}/{number:05}{suffix}", data


@lru_cache(maxsize=1)
def _grounds() -> list[tuple[str, bytes]]:
    """Small pictures in every format, mode, compression and arrangement that Pillow writes."""
    chance = random.Random(7)
    noise = Image.frombytes("RGB", (67, 45), chance.randbytes(67 * 45 * 3))
    smooth = Image.radial_gradient("L").resize((90, 61)).convert("RGB")
    frames = [smooth.rotate(angle) for angle in (10, 20, 30)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "upright"
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a photo", zip=True)
    wanted: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("JPEG", noise, {"exif": exif, "icc_profile": bytes(4000)}),
        ("JPEG", smooth, {"progressive": True, "quality": 60}),
        ("JPEG", smooth.convert("L"), {}),
        ("JPEG", smooth.convert("CMYK"), {}),
        ("PNG", noise, {"pnginfo": text, "exif": exif}),
        ("PNG", smooth.convert("P"), {"transparency": 3}),
        ("PNG", smooth.convert("RGBA"), {"icc_profile": bytes(4000)}),
        ("PNG", smooth.convert("I;16"), {}),
        ("PNG", smooth.convert("1"), {}),
        ("PNG", smooth, {"save_all": True, "append_images": frames}),
        ("WEBP", noise, {"exif": exif}),
        ("WEBP", smooth.convert("RGBA"), {"lossless": True}),
        ("WEBP", smooth, {"save_all": True, "append_images": frames}),
        ("GIF", smooth.convert("P"), {"comment": b"a photo"}),
        ("GIF", smooth.convert("P"), {"save_all": True, "append_images": frames, "loop": 0}),
        ("BMP", noise, {}),
        ("BMP", smooth.convert("P"), {}),
        ("BMP", smooth.convert("RGBA"), {}),
        *(
            ("TIFF", smooth, {"compression": name, "exif": exif})
            for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        ),
        ("TIFF", smooth.convert("1"), {"compression": "group4"}),
        ("AVIF", noise, {"exif": exif}),
        ("AVIF", smooth.convert("RGBA"), {}),
        ("TIFF", smooth.convert("I;16"), {}),
        ("TIFF", smooth, {"save_all": True, "append_images": frames}),
    ]
    return [(FORMATS[form], encoded(image, form, **options)) for form, image, options in wanted]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


# --- what is done to a file --------------------------------------------------------------------------------------


def _flipped_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 40)):
        changed[_place(changed, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _flipped_in_header(data: bytes, chance: random.Random) -> bytes:
    return _flipped_bits(data[:120], chance) + data[120:]


def _extreme_number(data: bytes, chance: random.Random) -> bytes:
    """A field of the header is as small or as large as can be."""
    at, size = _place(data[:200], chance), chance.choice((1, 2, 4, 8))
    value = chance.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1))
    return data[:at] + value.to_bytes(size, chance.choice(("big", "little"))) + data[at + size :]


def _truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)]


def _cut_out(data: bytes, chance: random.Random) -> bytes:
    first, last = sorted((_place(data, chance), _place(data, chance)))
    return data[:first] + data[last:]


def _overwritten(data: bytes, chance: random.Random) -> bytes:
    at, size = _place(data, chance), chance.randint(1, 300)
    filling = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return data[:at] + filling + data[at + size :]


def _repeated(data: bytes, chance: random.Random) -> bytes:
    first, last = sorted((_place(data, chance), _place(data, chance)))
    return data[:last] + data[first:last] * chance.randint(1, 20) + data[last:]


def _swapped(data: bytes, chance: random.Random) -> bytes:
    """Two of its pieces change places: chunks in PNG and WebP, blocks elsewhere."""
    a, b, c = sorted(_place(data, chance) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _spliced(data: bytes, chance: random.Random) -> bytes:
    """Its beginning before another's end."""
    _, other = chance.choice(_grounds())
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def _polyglot(data: bytes, chance: random.Random) -> bytes:
    """It is something else too."""
    other = chance.choice(
        (b"PK\x03\x04" + bytes(26), b"%PDF-1.7\n", b"<html><script>alert(1)</script>", b"#!/bin/sh\n", b"\x80\x04cos\n")
    )
    return other + data if chance.random() < 0.3 else data + other


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flipped_bits,
    _flipped_in_header,
    _extreme_number,
    _truncated,
    _cut_out,
    _overwritten,
    _repeated,
    _swapped,
    _spliced,
    _polyglot,
)


def _place(data: bytes | bytearray, chance: random.Random) -> int:
    return chance.randrange(len(data)) if data else 0


# --- made by hand ------------------------------------------------------------------------------------------------


def made() -> dict[str, bytes]:
    """Name -> bytes of bombs, and of what has no end."""
    return {
        "bomb.png": png(BOMB_SIDE, BOMB_SIDE, zlib.compress(bytes(5_000_000), 9)),
        "bomb.gif": _resized(encoded(Image.new("P", (9, 9)), "GIF"), 6, "<H", BOMB_SIDE, also=-1),
        "bomb.bmp": _resized(encoded(Image.new("RGB", (9, 9)), "BMP"), 18, "<I", BOMB_SIDE),
        "bomb.tif": _tiff(BOMB_SIDE, BOMB_SIDE, zlib.compress(bytes(5_000_000), 9)),
        "bomb.jpg": _jpeg_of(BOMB_SIDE),
        "bomb.webp": _webp_of(16_383),  # the format knows no larger one
        "strip.png": png(89_000_000, 1, zlib.compress(bytes(89_000_001), 9)),
        "most.bmp": _resized(encoded(Image.new("RGB", (9, 9)), "BMP"), 18, "<I", 2**31 - 1),
        "most.png": png(2**31 - 1, 2**31 - 1, b""),
        "most.tif": _tiff(2**32 - 1, 2**32 - 1, b""),
        "text.png": png(8, 8, zlib.compress(bytes(72)), *[_chunk(b"zTXt", b"a\0\0" + _zeros(1_000_000))] * 200),
        "texts.png": png(8, 8, zlib.compress(bytes(72)), *[_chunk(b"tEXt", b"a\0b")] * 50_000),
        "profile.png": png(8, 8, zlib.compress(bytes(72)), _chunk(b"iCCP", b"a\0\0" + _zeros(100_000_000))),
        "exif.png": png(8, 8, zlib.compress(bytes(72)), _chunk(b"eXIf", _deep_exif())),
        "profile.jpg": _with_segments(b"\xe2", b"ICC_PROFILE\0\1\xff" + bytes(65_000), 150),
        "exif.jpg": _with_segments(b"\xe1", b"Exif\0\0" + _deep_exif()[:65_000], 3),
        "markers.jpg": _jpeg()[:2] + b"\xff\xfe\0\2" * 100_000 + _jpeg()[2:],
        "frames.gif": _endless_gif(),
        "comment.gif": _jpeg()[:0] + b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + _gif_comment(20_000),
        "looped.tif": _looped_tiff(),
        "tags.tif": _tiff_of_tags(60_000),
        "zip.png": b"PK\x03\x04" + bytes(100),
        "script.jpg": b"<script>alert(1)</script>",
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "icon.png": encoded(Image.new("RGB", (16, 16)), "ICO"),
        "empty.webp": b"",
    }


def largest() -> Iterator[tuple[str, bytes]]:
    """As large as is allowed, in a few hundred kB each: what decoding them takes is the most that any file takes."""
    width, height = LARGEST
    row = width * 4 + 1
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(row)) for _ in range(height)) + packed.flush()
    yield "largest.png", png(width, height, rows, colours=6)
    yield "largest_grey.png", png(width, height, zlib.compress(bytes((width * 2 + 1) * height)), depth=16)
    yield "largest.tif", _tiff(width, height, zlib.compress(bytes(width * height)))
    yield "largest.jpg", encoded(Image.new("RGB", LARGEST), "JPEG", progressive=True)
    yield "largest.gif", encoded(Image.new("P", LARGEST), "GIF")
    yield "largest.webp", encoded(Image.new("RGBA", LARGEST, (9, 9, 9, 9)), "WEBP", lossless=True, method=0)


def png(width: int, height: int, rows: bytes, *chunks: bytes, depth: int = 8, colours: int = 0) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def _resized(data: bytes, at: int, form: str, side: int, *, also: int | None = None) -> bytes:
    """Width and height, one behind the other, are written over; `also` where a GIF's frame says the same."""
    changed = bytearray(data)
    places = [at] if also is None else [at, data.index(b"\x2c") + 5]
    for place in places:
        struct.pack_into(form + form[-1], changed, place, side, side)
    return bytes(changed)


def _jpeg() -> bytes:
    return encoded(Image.new("RGB", (8, 8)), "JPEG")


def _jpeg_of(side: int) -> bytes:
    data = bytearray(_jpeg())
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    return bytes(data)


def _webp_of(side: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    at = data.index(b"\x2f", data.index(b"VP8L") + 8) + 1
    (packed,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, packed & ~(2**28 - 1) | (side - 1) | (side - 1) << 14)
    return bytes(data)


def _tiff(width: int, height: int, rows: bytes) -> bytes:
    """Grey, one strip, deflated."""
    tags = [(256, width), (257, height), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1), (278, height)]
    tags.append((279, len(rows)))
    folder = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + folder + bytes(4)


def _looped_tiff() -> bytes:
    """Each of its folders says that another one follows; the last says the first."""
    data = bytearray(_tiff(8, 8, zlib.compress(bytes(64))))
    (first,) = struct.unpack_from("<I", data, 4)
    struct.pack_into("<I", data, len(data) - 4, first)
    return bytes(data)


def _tiff_of_tags(count: int) -> bytes:
    """A folder of tags of which each claims as much data as can be."""
    tags = b"".join(struct.pack("<HHII", 10_000 + n % 50_000, 7, 2**31 - 1, 8) for n in range(count))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", count) + tags + bytes(4)


def _deep_exif() -> bytes:
    """Folders within folders, the innermost pointing back at the outermost."""
    folders = 2000
    size = 2 + 12 + 4
    data = bytearray(b"II*\0" + struct.pack("<I", 8))
    for number in range(folders):
        inside = 8 + (number + 1) % folders * size
        data += struct.pack("<HHHII", 1, 0x8769, 4, 1, inside) + struct.pack("<I", inside)
    return bytes(data)


def _with_segments(marker: bytes, data: bytes, count: int) -> bytes:
    segment = b"\xff" + marker + struct.pack(">H", len(data) + 2) + data
    return _jpeg()[:2] + segment * count + _jpeg()[2:]


def _endless_gif() -> bytes:
    """100,000 frames, and no end."""
    data = encoded(Image.new("P", (8, 8)), "GIF")
    frame = data[data.index(b"\x2c") : -1]
    return data[:-1] + frame * 100_000


def _gif_comment(blocks: int) -> bytes:
    return b"!\xfe" + (b"\xff" + b"x" * 255) * blocks + b"\0;"
