"""Photos are decoded as Chromium shows them, in every format that it can show."""

import base64
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from seglib.data.image import decode
from tests.seglib.data.test_formats import TURNS, XMP, encoded, exif_block, orientation, scene, with_chunk

pytestmark = pytest.mark.e2e

MOST = 1.0
"""Mean absolute difference that is allowed, 0..255: browsers round transparency differently."""

SHOW = """async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let text = "";
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return [canvas.width, canvas.height, btoa(text)];
}"""


def faded(mode: str = "RGBA") -> Image.Image:
    """The scene, clear on top and opaque below."""
    picture = scene().convert(mode)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def jpegs() -> Iterator[tuple[str, bytes]]:
    for mode in ("RGB", "L", "CMYK"):
        for progressive in (False, True):
            for subsampling in (0, 1, 2):
                data = encoded(scene().convert(mode), "JPEG", progressive=progressive, subsampling=subsampling)
                yield f"{mode} {progressive=} {subsampling=}", data
    broken = (282, 2, 99, struct.pack("<L", 99_999))
    yield "a broken tag", encoded(scene(), "JPEG", exif=exif_block(broken, orientation(6)))
    yield "a long orientation", encoded(scene(), "JPEG", exif=exif_block((274, 4, 1, struct.pack("<L", 6))))
    yield "two orientations", encoded(scene(), "JPEG", exif=exif_block(orientation(6), orientation(3)))


def pngs() -> Iterator[tuple[str, bytes]]:
    for mode in ("1", "L", "P", "RGB", "I;16"):
        yield mode, encoded(scene().convert("L").convert(mode) if mode == "I;16" else scene().convert(mode), "PNG")
    yield "RGBA", encoded(faded(), "PNG")
    yield "LA", encoded(faded("L"), "PNG")
    yield "a clear index", encoded(scene().convert("P"), "PNG", transparency=3)
    for bits in (1, 2, 4):
        yield f"clear grey of {bits} bits", _grey_png(bits)
    for kind, content in ((b"iCCP", b"x\0\0"), (b"zTXt", b"x\0\0"), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")):
        large = content + zlib.compress(b"a" * 3_000_000)
        for after in (False, True):
            yield f"large {kind!r} {after=}", with_chunk(encoded(scene(), "PNG"), kind, large, after=after)
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
    yield "XMP", with_chunk(encoded(scene(), "PNG"), b"iTXt", xmp, after=False)
    exif = exif_block(orientation(6))
    raw = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
    yield "EXIF as text", with_chunk(encoded(scene(), "PNG"), b"tEXt", b"Raw profile type exif\0" + raw, after=False)


def _grey_png(bits: int) -> bytes:
    """The scene in grey of a few bits, in which the value 1 is clear."""
    values = np.asarray(scene().convert("L")) >> (8 - bits)
    binary = np.unpackbits(values[:, :, None], axis=2)[:, :, -bits:].reshape(len(values), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(binary, axis=1))
    chunks = (
        (b"IHDR", struct.pack(">LLBBBBB", *scene().size, bits, 0, 0, 0, 0)),
        (b"tRNS", b"\0\1"),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data)) for kind, data in chunks
    )


def others() -> Iterator[tuple[str, str, bytes]]:
    """Without transparent and moving AVIFs, of which Chromium shows other colours than went in (by 5 of 255)."""
    frames = {"save_all": True, "append_images": [scene().rotate(90)], "duration": 100_000}
    for mode in ("L", "P", "RGB"):
        yield "gif", mode, encoded(scene().convert(mode), "GIF")
        yield "bmp", mode, encoded(scene().convert(mode), "BMP")
    yield "gif", "transparent", encoded(faded(), "GIF")
    yield "gif", "frames", encoded(scene(), "GIF", **frames)
    yield "png", "frames", encoded(scene(), "PNG", **frames)
    yield "webp", "frames", encoded(scene(), "WEBP", lossless=True, **frames)
    yield "webp", "lossy", encoded(scene(), "WEBP", quality=60)
    yield "webp", "transparent", encoded(faded(), "WEBP", lossless=True)
    yield "webp", "XMP", encoded(scene(), "WEBP", xmp=XMP)
    yield "avif", "lossy", encoded(scene(), "AVIF", quality=60)
    yield "avif", "XMP", encoded(scene(), "AVIF", xmp=XMP)
    for turn in TURNS:
        exif = exif_block(orientation(turn))
        for kind in ("jpeg", "png", "webp", "avif"):
            yield kind, f"orientation {turn}", encoded(scene(), kind.upper(), exif=exif)


def cases() -> list[tuple[str, str, bytes]]:
    return [*(("jpeg", *case) for case in jpegs()), *(("png", *case) for case in pngs()), *others()]


def test_photos_are_decoded_as_chromium_shows_them(browser):
    page = browser.new_page()
    wrong = {}
    for kind, name, data in cases():
        width, height, text = page.evaluate(SHOW, f"data:image/{kind};base64,{base64.b64encode(data).decode()}")
        shown = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[:, :, :3]
        found = np.asarray(decode(data))
        same_size = shown.shape == found.shape
        difference = np.abs(shown.astype(int) - found).mean() if same_size else np.inf
        if difference > MOST:
            wrong[f"{kind}: {name}"] = (shown.shape, found.shape, difference)
    assert wrong == {}
