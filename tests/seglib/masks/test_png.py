"""Masks as PNG files, read back by Pillow and by a plain reader of PNG chunks."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seglib.classes import VOC_CLASSES, palette
from seglib.masks import png


@st.composite
def masks_of_any_classes(draw):
    classes = draw(st.integers(1, 256))
    height, width, seed = draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, classes, (height, width)).astype(np.uint8)


def read_plainly(data):
    """(bit depth, palette as uint8 (N, 3), pixels) of a PNG that is not interlaced, by its specification."""
    chunks, place = {}, 8
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        chunks[kind] = chunks.get(kind, b"") + data[place + 8 : place + 8 + size]
        assert zlib.crc32(data[place + 4 : place + 8 + size]) == int.from_bytes(data[place + 8 + size :][:4], "big")
        place += size + 12
    width, height = (int.from_bytes(chunks[b"IHDR"][at : at + 4], "big") for at in (0, 4))
    rows, pixels, above = zlib.decompress(chunks[b"IDAT"]), [], [0] * width
    for y in range(height):
        method, row = rows[y * (width + 1)], list(rows[y * (width + 1) + 1 : (y + 1) * (width + 1)])
        for x in range(width):
            a, b, c = (row[x - 1] if x else 0), above[x], (above[x - 1] if x else 0)
            paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[x] = (row[x] + (0, a, b, (a + b) // 2, paeth)[method]) % 256
        pixels.append(above := row)
    return chunks[b"IHDR"][8], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3), np.array(pixels, np.uint8)


@given(masks_of_any_classes())
def test_every_reader_gets_the_mask_back(mask):
    data = png.encode_index_png(mask)
    depth, colours, pixels = read_plainly(data)
    assert depth == 8
    assert (pixels == mask).all()
    assert (colours == palette("voc", [""] * len(colours))).all()
    assert len(colours) == max(21, int(mask.max()) + 1)  # a value beyond the palette would be an error
    assert (png.decode_verified_png(data) == mask).all()
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image.convert("RGB")) == colours[mask]).all()


def test_masks_with_the_palettes_of_older_versions_are_still_read():
    mask = np.array([[0, 8], [12, 255]], np.uint8)
    picture, buffer = Image.fromarray(mask), io.BytesIO()
    picture.putpalette(palette("voc", [""] * 256).tobytes())
    picture.save(buffer, "PNG", compress_level=4)
    assert len(read_plainly(buffer.getvalue())[1]) == 256
    assert (png.decode_verified_png(buffer.getvalue()) == mask).all()


@pytest.mark.parametrize("values", [(0,), (0, 20)])
def test_masks_of_the_voc_classes_share_one_palette(values):
    data = png.encode_index_png(np.array([values], np.uint8))
    assert len(read_plainly(data)[1]) == len(VOC_CLASSES)
