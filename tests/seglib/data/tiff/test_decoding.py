"""Kinds of TIFF: each is decoded to the pixels that were written, or refused as unsupported; never to others."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from seglib.data.image import decode
from seglib.errors import BadImage
from tests.seglib.data.tiff.writer import CMYK, GREY, GREY_INVERTED, LAB, PALETTE, RGB, YCBCR, write_tiff

ROWS, COLUMNS = 9, 14
COLOURS = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, 3), np.uint8)  # (H, W, 3)
SHADES = COLOURS[:, :, 0]
ARRANGEMENTS = [
    {"order": order, "planes": planes, "deflate": deflate}
    for order in "<>"
    for planes in (False, True)
    for deflate in (False, True)
]


def widen(pixels: np.ndarray, bits: int) -> np.ndarray:
    return pixels if bits == 8 else pixels.astype(np.uint16) * 257


def reason_of(data: bytes) -> tuple[str, str]:
    with pytest.raises(BadImage) as caught:
        decode(data)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("how", ARRANGEMENTS, ids=str)
@pytest.mark.parametrize("bits", [8, 16])
def test_rgb_is_decoded_in_every_arrangement(how, bits):
    assert (np.asarray(decode(write_tiff(widen(COLOURS, bits), RGB, **how))) == COLOURS).all()
    opaque = np.concatenate([COLOURS, np.full((ROWS, COLUMNS, 1), 255, np.uint8)], axis=2)
    assert (np.asarray(decode(write_tiff(widen(opaque, bits), RGB, t338=(2,), **how))) == COLOURS).all()
    inks = np.concatenate([255 - COLOURS, np.zeros((ROWS, COLUMNS, 1), np.uint8)], axis=2)
    assert (np.asarray(decode(write_tiff(widen(inks, bits), CMYK, **how))) == COLOURS).all()


@pytest.mark.parametrize("how", ARRANGEMENTS[::2], ids=str)
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_is_no_negative_whichever_value_is_white(how, bits):
    pixels = widen(SHADES, bits)
    for data in (write_tiff(pixels, GREY, **how), write_tiff(np.invert(pixels), GREY_INVERTED, **how)):
        assert (np.asarray(decode(data)) == SHADES[:, :, None]).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("inverted", [False, True])
def test_grey_of_few_bits_fills_the_range(bits, inverted):
    levels = 2**bits - 1
    pixels = np.arange(16).reshape(2, 8) % (levels + 1)
    stored = levels - pixels if inverted else pixels
    binary = np.unpackbits(stored.astype(np.uint8)[:, :, None], axis=2)[:, :, -bits:].reshape(2, -1)
    packed = np.packbits(binary, axis=1)
    data = write_tiff(packed, GREY_INVERTED if inverted else GREY, t256=(8,), t258=(bits,))
    assert (np.asarray(decode(data))[:, :, 0] == pixels * 255 // levels).all()


def test_grey_of_12_bits_is_not_dark():
    packed = np.array([[0xFF, 0xF8, 0x00]], np.uint8)  # 4095, 2048
    assert np.asarray(decode(write_tiff(packed, GREY, t256=(2,), t258=(12,))))[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("scale", [1, 257])
def test_palettes_of_8_and_of_16_bits(scale):
    palette = np.random.default_rng(1).integers(0, 256, (256, 3))
    data = write_tiff(SHADES, PALETTE, t320=tuple((palette.T.ravel() * scale).tolist()))
    assert (np.asarray(decode(data)) == palette[SHADES]).all()


def test_subsampled_ycbcr_without_compression():
    """Two by two pixels of one colour: four Y, one Cb, one Cr."""
    luma = np.repeat(np.repeat([[50, 200]], 2, axis=0), 2, axis=1)
    units = np.array([[*luma[:, :2].ravel(), 128, 128, *luma[:, 2:].ravel(), 128, 128]], np.uint8)
    data = write_tiff(units, YCBCR, t256=(4,), t257=(2,), t258=(8, 8, 8), t277=(3,), t278=(2,), t530=(2, 2))
    assert np.abs(np.asarray(decode(data)).astype(int) - luma[:, :, None]).max() <= 2


def test_premultiplied_grey_lies_on_white():
    pixels = np.array([[[0, 0], [100, 255], [50, 128]]], np.uint8)  # grey, alpha
    shades = np.asarray(decode(write_tiff(pixels, GREY, t338=(1,))))[0, :, 0].tolist()
    assert shades[:2] == [255, 100]
    assert abs(shades[2] - 177) <= 2  # 50 and half of white


@pytest.mark.parametrize(
    ("pixels", "photometric", "words"),
    [
        (np.zeros((4, 4, 5), np.uint16), GREY, "grey, 5 x 16 bits"),
        (np.zeros((4, 4, 5), np.uint8), GREY, "grey, 5 x 8 bits"),
        (np.zeros((4, 4, 2), np.uint16), GREY, "grey, 2 x 16 bits"),
        (np.zeros((4, 4, 3), np.uint8), GREY, "grey, 3 x 8 bits"),
        (np.zeros((4, 4), np.int8), GREY, "8 bits signed"),
        (np.zeros((4, 4), np.int16), GREY, "16 bits signed"),
        (np.zeros((4, 4), np.uint32), GREY, "32 bits"),
        (np.zeros((4, 4), np.float16), GREY, "16 bits floating-point"),
        (np.zeros((4, 4), np.float32), GREY, "32 bits floating-point"),
        (np.zeros((4, 4, 3), np.float32), RGB, "RGB, 3 x 32 bits floating-point"),
        (np.zeros((4, 4, 3), np.uint8), LAB, "CIELAB"),
        (np.zeros((4, 4), np.uint8), 4, "photometric 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_sound_tiff_that_is_not_read_is_unsupported_and_says_what_it_is(pixels, photometric, words, order):
    reason, detail = reason_of(write_tiff(pixels, photometric, order=order))
    assert reason == "unsupported"
    assert words in detail
    assert "save it as" in detail


def test_an_unknown_compression_and_planes_of_grey_and_alpha_are_unsupported():
    assert reason_of(write_tiff(SHADES, GREY, t259=(34887,)))[0] == "unsupported"
    planes = np.dstack([SHADES, np.full_like(SHADES, 255)])
    for deflate in (False, True):
        assert reason_of(write_tiff(planes, GREY, planes=True, deflate=deflate, t338=(2,)))[0] == "unsupported"


def test_big_tiff_is_read_or_unsupported():
    assert (np.asarray(decode(write_tiff(COLOURS, RGB, big=True))) == COLOURS).all()
    assert reason_of(write_tiff(COLOURS, RGB, big=True, order=">"))[0] == "unsupported"


@pytest.mark.parametrize("photometric", [GREY, 4])
def test_a_tiff_whose_pixels_are_cut_off_is_truncated(photometric):
    size = len(write_tiff(SHADES, photometric))
    assert reason_of(write_tiff(SHADES, photometric, t273=(size - 10,)))[0] == "truncated"


@pytest.mark.parametrize("pixels", [SHADES.astype(np.float32), SHADES], ids=["float", "unknown compression"])
@pytest.mark.parametrize("tag", [256, 258, 259, 262, 273, 277, 284, 320, 339])
def test_a_tag_without_values_never_ends_a_run(pixels, tag):
    how = {"t259": (34887,)} if pixels is SHADES else {}
    with contextlib.suppress(BadImage):
        assert decode(write_tiff(pixels, GREY, **how | {f"t{tag}": ()})).size == (COLUMNS, ROWS)


def test_a_tiff_without_its_tags_is_damaged():
    assert reason_of(write_tiff(SHADES, GREY)[: 8 + SHADES.size])[0] == "damaged"
    assert reason_of(b"II*\0")[0] == "damaged"


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_the_first_page_counts(compression):
    pages = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:], compression=compression)
    assert (np.asarray(decode(buffer.getvalue())) == COLOURS).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("how", ARRANGEMENTS[:4], ids=str)
def test_a_tiff_is_turned_by_its_tag_and_not_by_xmp(bits, how):
    pixels = widen(COLOURS, bits)
    turned = decode(write_tiff(pixels, RGB, t274=(6,), **how))
    assert (np.asarray(turned) == np.rot90(COLOURS, -1)).all()
    xmp = tuple(b'<x tiff:Orientation="6"/>')
    assert (np.asarray(decode(write_tiff(pixels, RGB, t700=xmp, **how))) == COLOURS).all()


def test_tiles_with_a_rest_at_the_edges():
    tile = 16
    padded = np.zeros((tile, 2 * tile), np.uint16)
    shades = np.random.default_rng(2).integers(0, 256, (10, 20), np.uint16)
    padded[:10, :20] = shades * 257
    rows = np.concatenate([padded[:, :tile], padded[:, tile:]])  # the two tiles, one after the other
    size = 2 * tile * tile
    data = write_tiff(
        rows, GREY, t256=(20,), t257=(10,), t322=(tile,), t323=(tile,), t324=(8, 8 + size), t325=(size, size)
    )
    assert (np.asarray(decode(data))[:, :, 0] == shades).all()
