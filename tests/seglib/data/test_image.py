import hashlib
import io
import os
import pickle
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.transforms import functional

from seglib.data import formats
from seglib.data.image import (
    FAILURE_REASONS,
    Extras,
    compute_image_id,
    decode,
    is_image_id,
    is_worth_retrying,
    read_image,
    read_thumbnail,
)
from seglib.data.resize import Resize, input_resize, input_size_wh, resize_image, resize_to_input, side_rule
from seglib.errors import BadImage, UsageError


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(size_hw: tuple[int, int] = (40, 60), channels: int = 3) -> Image.Image:
    shape = (*size_hw, channels) if channels > 1 else size_hw
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


# --- resize rules ---


@pytest.mark.parametrize(
    ("rule", "photo_wh", "grid_wh"),
    [
        ("224", (500, 300), (224, 224)),
        ("640x480", (500, 300), (640, 480)),
        ("short:520", (500, 300), (867, 520)),
        ("short:520", (300, 500), (520, 867)),
        ("short:520", (3000, 2), (2080, 32)),  # a strip neither explodes nor vanishes
        ("short:520", (1, 1), (520, 520)),
        ("native", (500, 300), (500, 300)),
        ("native", (1, 1), (32, 32)),
        ("native", (8000, 4000), (2828, 1414)),
    ],
)
def test_the_grid_follows_the_rule(rule, photo_wh, grid_wh):
    assert Resize(rule).grid_wh(*photo_wh) == grid_wh


@pytest.mark.parametrize(
    ("net_side", "grid_wh", "seen_wh"),
    [
        (0, (867, 520), (867, 520)),
        (288, (224, 224), (288, 288)),
        (288, (512, 384), (384, 288)),
        (288, (384, 500), (288, 368)),  # 375, in steps of 16
        (288, (2080, 32), (1152, 32)),
        (33, (64, 64), (32, 32)),
    ],
)
def test_a_net_sees_every_grid_at_its_own_side(net_side, grid_wh, seen_wh):
    assert input_size_wh(*grid_wh, net_side) == seen_wh
    photo = noise(grid_wh[::-1])
    images = np.stack([np.asarray(photo), np.zeros_like(np.asarray(photo))])
    seen = resize_to_input(images, side_rule(net_side))
    assert seen.shape == (2, *seen_wh[::-1], 3)
    assert np.array_equal(seen[0], np.asarray(photo.resize(seen_wh, Image.Resampling.BILINEAR)))
    assert not seen[1].any()


def test_a_net_sees_photos_by_the_grids_rule_or_in_their_own_aspect():
    assert input_resize(Resize("224"), 0) == Resize("224")
    for rule in ("224", "short:384", "native"):
        sees = input_resize(Resize(rule), 320)
        assert (sees.text, sees.step) == ("short:320", 16)
        assert sees.grid_wh(500, 375) == (432, 320)  # 426.7, in steps of 16
        assert sees.grid_wh(4000, 100) == (1280, 32)


@pytest.mark.parametrize(("rule", "slug"), [("224", "224"), ("512x512", "512x512"), ("short:520", "short520")])
def test_the_slug_is_what_a_runs_name_holds(rule, slug):
    assert Resize(rule).slug == slug


@pytest.mark.parametrize(
    "rule", ["", "big", "0", "16", "224x", "short520", "short:9999", "-224", "224.5", "1x1", "0224", "²²4"]
)
def test_an_unknown_rule_says_which_there_are(rule):
    with pytest.raises(UsageError, match="short:520 or native"):
        Resize(rule)


def test_resizing_is_torchvisions_antialiased_bilinear():
    image = noise((90, 130))
    theirs = functional.resize(image, [48, 64], interpolation=functional.InterpolationMode.BILINEAR, antialias=True)
    assert (resize_image(image, Resize("64x48")) == np.asarray(theirs)).all()


# --- decoding ---


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_pixels_back(kind, options):
    assert (np.asarray(decode(encoded(noise(), kind, **options))) == np.asarray(noise())).all()


def test_jpeg_and_cmyk_jpeg_come_out_as_rgb():
    flat = Image.new("RGB", (32, 32), (200, 30, 60))
    for data in (encoded(flat, "JPEG", quality=95), encoded(flat.convert("CMYK"), "JPEG", quality=95)):
        image = decode(data)
        assert image.mode == "RGB"
        assert np.abs(np.asarray(image).astype(int) - (200, 30, 60)).max() <= 4


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert decode(data).getpixel((5, 5)) == (255, 0, 0)


def test_16_bit_grey_keeps_its_high_byte_and_is_not_clipped():
    grey = np.array([[0, 256, 32768, 65535]], np.uint16)
    assert np.asarray(decode(encoded(Image.fromarray(grey), "PNG")))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert np.asarray(decode(encoded(Image.fromarray(grey), "TIFF")))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert decode(encoded(clear, "PNG")).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encoded(clear.convert("LA"), "PNG")).getpixel((0, 0)) == (255, 255, 255)
    indexed = Image.new("P", (8, 8), 1)
    indexed.putpalette([0, 0, 0, 9, 8, 7])
    assert decode(encoded(indexed, "PNG")).getpixel((0, 0)) == (9, 8, 7)
    assert decode(encoded(indexed, "GIF", transparency=1)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (59, 39)), (6, (39, 0)), (8, (0, 59))])
def test_exif_turns_the_picture_upright(orientation, corner):
    image = Image.new("RGB", (60, 40), "black")
    image.paste("white", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode(encoded(image, "JPEG", exif=exif, quality=95))
    assert upright.size == ((60, 40) if orientation in (1, 3) else (40, 60))
    assert min(upright.getpixel(corner)) > 200


def test_ordinary_photos_are_decoded_as_pillow_does(sample):
    photos = sorted(path for path in sample.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    assert len(photos) == 13
    for path in photos:
        with Image.open(path) as plain:
            wanted = np.asarray(ImageOps.exif_transpose(plain).convert("RGB"))
        assert (np.asarray(decode(path.read_bytes())) == wanted).all(), path.name


def test_one_pixel_is_a_picture():
    assert decode(encoded(Image.new("L", (1, 1), 7), "PNG")).getpixel((0, 0)) == (7, 7, 7)


# --- failures ---


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("GIF", {}), ("TIFF", {})],
)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_picture_is_a_failure_in_every_format(kind, options, kept):
    data = encoded(noise((200, 300)), kind, **options)
    with pytest.raises(BadImage) as caught:
        decode(data[: int(len(data) * kept)])
    assert caught.value.reason in ("truncated", "damaged", "not_an_image")


def test_a_truncated_jpeg_says_so():
    data = encoded(noise((200, 300)), "JPEG")
    with pytest.raises(BadImage, match="truncated"):
        decode(data[: len(data) // 2])


def test_a_text_is_not_an_image():
    with pytest.raises(BadImage, match="not_an_image"):
        decode(b"hello, this is a text\n" * 100)


def test_formats_that_are_not_named_are_not_opened():
    with pytest.raises(BadImage, match="not_an_image"):
        decode(encoded(noise(), "PPM"))


def test_floats_have_no_range_and_are_unsupported():
    with pytest.raises(BadImage, match="unsupported"):
        decode(encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"))


@pytest.mark.parametrize(
    ("detail", "worth"),
    [
        ("Decoding failed: OSError image file is truncated (51 bytes not processed).", True),
        ("The content is none of JPEG, PNG, WEBP, BMP, GIF, TIFF.", True),
        ("", False),
    ],
)
def test_failures_of_older_versions_are_worth_another_try(detail, worth):
    assert is_worth_retrying(detail) is worth


@pytest.mark.parametrize(
    "data", [b"text", b"\x89PNG\r\n\x1a\n", b"II*\0", encoded(noise(), "JPEG")[:600], b"\xff\xd8\xff"]
)
def test_failures_of_this_version_are_not(data):
    with pytest.raises(BadImage) as caught:
        decode(data)
    assert not is_worth_retrying(caught.value.detail)


@pytest.mark.parametrize("installed", [False, True])
def test_heic_is_worth_another_try_once_the_extra_is_there(installed, monkeypatch):
    monkeypatch.setattr(formats, "has_heif", lambda: installed)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(BadImage) as caught:
        decode(b"\0\0\0\x18ftypheic" + bytes(100))
    assert is_worth_retrying(caught.value.detail) is installed


def test_a_bomb_is_refused_before_it_is_decoded():
    header = encoded(Image.new("1", (10, 10)), "PNG")
    width = (50_000).to_bytes(4, "big")
    bomb = bytearray(header)
    bomb[16:24] = width + width
    import zlib

    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(BadImage, match="too_large"):
        decode(bytes(bomb))


def test_files_that_cannot_be_read_have_a_reason(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in (("empty.jpg", "empty"), ("gone.jpg", "unreadable"), ("folder.jpg", "unreadable")):
        with pytest.raises(BadImage) as caught:
            read_image(tmp_path / name, Resize("224"))
        assert caught.value.reason == reason
        assert reason in FAILURE_REASONS
        assert str(tmp_path) not in caught.value.detail


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "sparse.tif").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(BadImage, match="too_large"):
        read_image(tmp_path / "sparse.tif", Resize("224"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_became_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(BadImage, match="not a regular file"):
        read_image(tmp_path / "a.jpg", Resize("224"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(encoded(noise(), "JPEG"))
    path.chmod(0)
    with pytest.raises(BadImage, match="unreadable"):
        read_image(path, Resize("224"))


def test_a_refusal_of_the_operating_system_is_told_without_the_path(tmp_path, monkeypatch):
    def refuse(path, _flags):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("seglib.data.image._open_nonblocking", refuse)
    with pytest.raises(BadImage, match="unreadable") as caught:
        read_image(tmp_path / "secret.jpg", Resize("224"))
    assert caught.value.detail == "Reading failed: Permission denied."


def test_a_failure_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(BadImage("damaged", "a sentence")))
    assert (error.reason, error.detail) == ("damaged", "a sentence")


# --- what a worker gives back ---


def test_a_photo_carries_identity_size_grid_and_thumbnail(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(noise((400, 800)), "PNG"))
    photo = read_image(path, Resize("short:64"))
    assert photo.image_id == hashlib.sha256(path.read_bytes()).hexdigest()[:32] == compute_image_id(path.read_bytes())
    assert (photo.width, photo.height) == (800, 400)
    assert (photo.image.shape, photo.image.dtype) == ((64, 128, 3), np.uint8)
    with Image.open(io.BytesIO(photo.thumbnail)) as small:
        assert (small.format, small.size) == ("JPEG", (320, 160))
    assert read_image(path, Resize("short:64"), Extras()).thumbnail == b""


def test_a_small_photo_is_not_enlarged_for_its_thumbnail(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(noise((40, 60)), "PNG"))
    with Image.open(io.BytesIO(read_image(tmp_path / "a.png", Resize("64")).thumbnail)) as small:
        assert small.size == (60, 40)


def test_only_32_hex_digits_are_an_image_id():
    assert is_image_id(compute_image_id(b"photo"))
    for text in ("", "0" * 31, "0" * 33, "A" * 32, "0" * 32 + "\n", "../" + "0" * 32, "٣" * 32):
        assert not is_image_id(text)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size_wh", [(1301, 1300), (90, 60)])
def test_a_reduced_jpeg_has_the_size_and_the_look_of_the_whole_one(tmp_path, orientation, size_wh):
    ramp = np.linspace(0, 255, size_wh[0] * size_wh[1]).reshape(size_wh[::-1]).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.stack([ramp, 255 - ramp, ramp // 2], 2)).save(tmp_path / "a.jpg", exif=exif)
    whole, reduced = read_image(tmp_path / "a.jpg", Resize("64")), read_thumbnail(tmp_path / "a.jpg")
    assert (reduced.image_id, reduced.width, reduced.height) == (whole.image_id, whole.width, whole.height)
    looks = [np.asarray(Image.open(io.BytesIO(one.thumbnail))).astype(int) for one in (whole, reduced)]
    assert looks[0].shape == looks[1].shape
    assert np.abs(looks[0] - looks[1]).mean() < 3


def test_what_is_wrong_with_a_file_is_said_without_pixels_too(tmp_path):
    Image.new("RGB", (900, 600), "red").save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    for name in ("cut.jpg", "no.jpg"):
        with pytest.raises(BadImage) as whole:
            read_image(tmp_path / name, Resize("64"))
        with pytest.raises(BadImage) as reduced:
            read_thumbnail(tmp_path / name)
        assert reduced.value.args == whole.value.args
    Image.new("RGB", (900, 600), "red").save(tmp_path / "b.png")
    found = read_thumbnail(tmp_path / "b.png")
    assert (found.width, found.height, found.image.size) == (900, 600, 0)
