"""What mask files of every usual kind store. PNG and TIFF are written by hand, so that no codec checks itself."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from seglib.annotations.raw_mask import decode_raw
from seglib.classes import palette
from seglib.errors import BadImage

VALUES = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [0, 0, 3, 3]], np.uint8)


def write_png(values: np.ndarray, bits: int, colour_type: int = 0, colours: bytes = b"") -> bytes:
    """A PNG of these samples (H, W) or (H, W, channels), packed by hand: no row is filtered."""
    height, width = values.shape[:2]
    rows = b""
    for row in values.reshape(height, -1):
        if bits == 16:
            rows += b"\0" + row.astype(">u2").tobytes()
        else:
            text = "".join(f"{value:0{bits}b}" for value in row.tolist())
            text += "0" * (-len(text) % 8)
            rows += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in [chunk for chunk in chunks if chunk != (b"PLTE", b"")]:
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_of_any_depth_holds_its_stored_values(bits):
    top = min(2**bits - 1, 40_000)
    values = np.array([[0, 1, top], [top, 0, 1]])
    raw = decode_raw(write_png(values, bits))
    assert (raw.values == values).all()
    assert raw.palette is None


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_palette_png_holds_indices_and_colours(bits):
    colours = palette("voc", [""] * 4).tobytes()
    raw = decode_raw(write_png(VALUES, bits, 3, colours))
    assert (raw.values == VALUES).all()
    assert (raw.palette[:4] == palette("voc", [""] * 4)).all()
    assert raw.packed[0].tolist() == [0, 0x800000, 0x008000, 0x808000]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_other_files_hold_the_same_values(kind):
    image = Image.fromarray(VALUES)
    assert (decode_raw(save(image, kind)).values == VALUES).all()
    image.putpalette(palette("voc", [""] * 256).tobytes())
    raw = decode_raw(save(image, kind))
    known = {0: 0, 0x800000: 1, 0x008000: 2, 0x808000: 3}
    assert [[known[colour] for colour in row] for row in raw.packed.tolist()] == VALUES.tolist()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_tiff_of_few_bits(bits):
    values = np.minimum(VALUES, 2**bits - 1)
    rows = b""
    for row in values:
        text = "".join(f"{value:0{bits}b}" for value in row.tolist())
        text += "0" * (-len(text) % 8)
        rows += int(text, 2).to_bytes(len(text) // 8, "big")
    for photometric in (1, 0):
        entries = [(256, 4), (257, 3), (258, bits), (259, 1), (262, photometric), (273, 122), (277, 1), (278, 3)]
        entries.append((279, len(rows)))
        data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
        for tag, value in entries:
            data += struct.pack("<HHII", tag, 4, 1, value)
        data += struct.pack("<I", 0)
        assert len(data) == 122
        if photometric:
            assert (decode_raw(data + rows).values == values).all()
        else:
            with pytest.raises(BadImage, match="counts from white"):
                decode_raw(data + rows)


def test_sixteen_bit_tiff_and_integers():
    values = np.array([[0, 300], [26_001, 65_535]], np.uint16)
    assert (decode_raw(save(Image.fromarray(values), "TIFF")).values == values).all()
    assert (decode_raw(save(Image.fromarray(values.astype(np.int32)), "TIFF")).values == values).all()
    with pytest.raises(BadImage, match="values from -1 to 5"):
        decode_raw(save(Image.fromarray(np.array([[-1, 5]], np.int32)), "TIFF"))


def test_rgb_holds_colours_or_an_index_in_each_channel():
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0] = 64, 0, 128
    raw = decode_raw(save(Image.fromarray(rgb), "PNG"))
    assert raw.values is None
    assert raw.packed.tolist() == [[0x400080, 0], [0, 0]]
    grey = np.repeat(VALUES[..., None], 3, 2)
    for kind in ("PNG", "TIFF", "BMP"):
        assert (decode_raw(save(Image.fromarray(grey), kind)).values == VALUES).all()


def test_alpha_is_left_out_where_it_says_nothing():
    grey = np.repeat(VALUES[..., None], 4, 2)
    for alpha in (255, 0):
        grey[..., 3] = alpha
        assert (decode_raw(save(Image.fromarray(grey), "PNG")).values == VALUES).all()
    grey[..., 3] = np.where(VALUES == 3, 255, 0)
    assert (decode_raw(save(Image.fromarray(grey), "PNG")).values == np.where(VALUES == 3, 3, 0)).all()
    grey[..., 3] = 128
    with pytest.raises(BadImage, match="half transparent"):
        decode_raw(save(Image.fromarray(grey), "PNG"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no picture", "decoding failed: UnidentifiedImageError"),
        (write_png(np.zeros((2, 2, 3), int), 16, 2), "16 bits per channel"),
        (save(Image.new("RGB", (4, 4)), "JPEG"), "decoding failed"),
        (save(Image.new("F", (4, 4)), "TIFF"), "32 bits per channel in mode F"),
        (save(Image.new("CMYK", (4, 4)), "TIFF"), "expected grey, palette or RGB"),
        (
            save(Image.new("L", (4, 4)), "TIFF", save_all=True, append_images=[Image.new("L", (4, 4), 1)]),
            "holds 2 pictures",
        ),
        (write_png(np.arange(10_000).reshape(100, 100) % 251, 8)[:200], "decoding failed"),
    ],
)
def test_files_without_certain_values_are_refused(data, said):
    with pytest.raises(BadImage) as refused:
        decode_raw(data)
    assert said in refused.value.detail


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_a_mask_of_too_many_pixels_is_refused_unread(side):
    data = bytearray(write_png(np.zeros((4, 4), int), 8))
    data[16:24] = 2 * side.to_bytes(4, "big")
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(BadImage) as refused:
        decode_raw(bytes(data))
    assert "more than 89,478,485 pixels" in refused.value.detail


def test_large_texts_of_a_png_do_not_matter():
    info = PngInfo()
    info.add_text("history", "x" * 3_000_000, zip=True)
    image = Image.fromarray(VALUES)
    image.putpalette(palette("voc", [""] * 256).tobytes())
    raw = decode_raw(save(image, "PNG", pnginfo=info, icc_profile=b"no profile" * 1000))
    assert (raw.values == VALUES).all()
    assert raw.packed[0, 1] == 0x800000
