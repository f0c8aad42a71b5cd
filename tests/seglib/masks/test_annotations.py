"""Which mask belongs to which photo, and what its values mean."""

import numpy as np
import pytest
from PIL import Image

from seglib.classes import VOID
from seglib.data.image import MAX_PIXELS
from seglib.errors import DatasetError, UsageError
from seglib.masks import annotations, png


@pytest.mark.parametrize(
    ("photos", "masks", "pairs"),
    [
        (["cats/a.jpg"], ["cats/a.png"], {"cats/a.jpg": "cats/a.png"}),
        (["cats/a.jpg"], ["cats/a.jpg.png"], {"cats/a.jpg": "cats/a.jpg.png"}),
        (["images/a.jpg"], ["a.png"], {"images/a.jpg": "a.png"}),
        (["images/a.jpg"], ["x/a.jpg.png"], {"images/a.jpg": "x/a.jpg.png"}),
        (["cats/1.jpg", "dogs/1.jpg"], ["cats/1.png"], {"cats/1.jpg": "cats/1.png"}),  # the path goes first
        (["a/1.jpg", "b/1.jpg"], ["a/1.png", "b/1.png"], {"a/1.jpg": "a/1.png", "b/1.jpg": "b/1.png"}),
        (["a.b.jpg"], ["a.png"], {}),
        (["a.jpg"], ["A.png"], {}),
        ([], ["a.png"], {}),
    ],
)  # fmt: skip
def test_masks_match_by_path_and_else_by_stem(photos, masks, pairs):
    assert annotations.match_masks(photos, masks) == pairs


@pytest.mark.parametrize(
    ("photos", "masks", "said"),
    [
        (["images/1.jpg"], ["x/1.png", "y/1.png"], "fits 2 masks"),
        (["cats/1.jpg", "dogs/1.jpg"], ["1.png"], "fits both"),
        (["a.jpg", "a.webp"], ["a.png"], "fits both"),
    ],
)
def test_an_ambiguous_stem_is_an_error(photos, masks, said):
    with pytest.raises(DatasetError, match=said):
        annotations.match_masks(photos, masks)


def test_trimaps_say_pet_background_and_nothing():
    trimap = np.array([[1, 2, 3]], np.uint8)
    for name, label, animal in (
        ("Abyssinian_1.png", None, 1),
        ("beagle_1.png", "images", 2),
        ("beagle_1.png", "cats", 1),
        ("001.png", None, 3),
        ("deep/Abyssinian_1.png", "trimaps", 1),
    ):
        assert annotations.convert_trimap(trimap, name, label).tolist() == [[animal, 0, VOID]]
    with pytest.raises(DatasetError, match=r"holds 0: expected 1 for the pet"):
        annotations.convert_trimap(np.zeros((2, 2), np.uint8), "a.png", None)


def test_values_are_classes_or_void():
    mask = np.array([[0, 2, VOID]], np.uint8)
    assert annotations.check_index_mask(mask, "a.png", 3) is mask
    with pytest.raises(DatasetError, match="holds the value 2, but there are only 2 classes"):
        annotations.check_index_mask(mask, "a.png", 2)
    with pytest.raises(DatasetError, match="holds the value 255"):
        annotations.check_index_mask(mask, "a.png", 3, void=False)


def test_the_format_is_seen_in_the_masks(tmp_path):
    for folder, values in (("t", [1, 2, 3]), ("v", [0, 8, 255]), ("w", [1, 2, 8])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / folder / "a.png")
    assert [annotations.guess_format(tmp_path / f, ["a.png"]) for f in "tvw"] == ["trimap", "voc", "voc"]


def test_what_is_no_index_mask_is_a_sentence(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for name in ("rgb.png", "bad.png", "gone.png"):
        with pytest.raises(DatasetError, match="expected an 8-bit palette or grey PNG"):
            annotations.read_mask(tmp_path, name)
    (tmp_path / "bad.png").unlink()
    (tmp_path / "rgb.png").rename(tmp_path / "photo.jpg")
    with pytest.raises(DatasetError, match="No masks below"):
        annotations.scan_masks(tmp_path)


def test_a_mask_of_50_000_x_50_000_pixels_is_a_sentence(tmp_path):
    data = bytearray(png.encode_index_png(np.zeros((4, 4), np.uint8)))
    data[16:24] = 2 * (50_000).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(DatasetError, match="50000 x 50000 is more than"):
        annotations.read_mask(tmp_path, "bomb.png")
    assert png._MAX_PIXELS == MAX_PIXELS


def test_class_names_are_one_a_line(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("__background__\ncat\n\n dog \n")
    assert annotations.read_class_names(file) == ("background", "cat", "dog")
    for text in ("", "cat\ncat\n"):
        file.write_text(text)
        with pytest.raises(UsageError, match="different names, one per line"):
            annotations.read_class_names(file)
    with pytest.raises(UsageError, match="cannot be read"):
        annotations.read_class_names(tmp_path / "gone.txt")
