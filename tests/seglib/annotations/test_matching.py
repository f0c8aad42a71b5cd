"""Which mask belongs to which photo."""

import unicodedata

import pytest
from PIL import Image

from seglib.annotations.matching import match_masks, no_match_error, scan_masks
from seglib.errors import DatasetError

NFC, NFD = (unicodedata.normalize(form, "Bär_é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("photos", "masks", "pairs", "rule"),
    [
        (["cats/a.jpg"], ["cats/a.png"], {"cats/a.jpg": "cats/a.png"}, "by path"),
        (["cats/a.jpg"], ["cats/a.jpg.png"], {"cats/a.jpg": "cats/a.jpg.png"}, "by path"),
        (["a.jpg"], ["a.tiff"], {"a.jpg": "a.tiff"}, "by path"),
        (["a.b.jpg"], ["a.b.png"], {"a.b.jpg": "a.b.png"}, "by path"),
        (["images/a.jpg"], ["a.png"], {"images/a.jpg": "a.png"}, "by file name"),
        (["images/a.jpg"], ["x/a.jpg.png"], {"images/a.jpg": "x/a.jpg.png"}, "by file name"),
        (["cats/1.jpg", "dogs/1.jpg"], ["cats/1.png"], {"cats/1.jpg": "cats/1.png"}, "by path"),
        (["a/1.jpg", "b/1.jpg"], ["a/1.png", "b/1.png"], {"a/1.jpg": "a/1.png", "b/1.jpg": "b/1.png"}, "by path"),
        (["a.jpg"], ["A.png"], {"a.jpg": "A.png"}, "without regard to case or accents' form"),
        ([f"{NFD}.jpg"], [f"{NFC}.png"], {f"{NFD}.jpg": f"{NFC}.png"}, "without regard to case or accents' form"),
        ([f"x/{NFC}.jpg"], [f"{NFD}.PNG"], {f"x/{NFC}.jpg": f"{NFD}.PNG"}, "without regard to case or accents' form"),
        (["a.jpg"], ["a_mask.png"], {"a.jpg": "a_mask.png"}, "without the usual suffixes (_mask and others)"),
        (["a.jpg"], ["deep/A-Seg.png"], {"a.jpg": "deep/A-Seg.png"}, "without the usual suffixes (_mask and others)"),
        (
            ["x/ulm_1_leftImg8bit.png"],
            ["y/ulm_1_gtFine_labelTrainIds.png"],
            {"x/ulm_1_leftImg8bit.png": "y/ulm_1_gtFine_labelTrainIds.png"},
            "without the usual suffixes (_mask and others)",
        ),
        (["img_7.jpg"], ["mask_7.png"], {"img_7.jpg": "mask_7.png"}, "without the usual suffixes (_mask and others)"),
        (["1_sat.jpg"], ["1_mask.png"], {"1_sat.jpg": "1_mask.png"}, "without the usual suffixes (_mask and others)"),
        (["a.b.jpg"], ["a.png"], {}, None),
        ([], ["a.png"], {}, None),
    ],
)  # fmt: skip
def test_masks_match_as_people_name_them(photos, masks, pairs, rule):
    matches = match_masks(photos, masks)
    assert matches.masks == pairs
    assert matches.rules == ({rule: len(pairs)} if pairs else {})
    assert set(matches.without_photo) == set(masks) - set(pairs.values())


def test_stricter_rules_go_first():
    matches = match_masks(["a.jpg", "b.jpg", "C.jpg", "d.jpg"], ["a.png", "a_mask.png", "x/b.png", "c.png", "d-gt.png"])
    assert matches.masks == {"a.jpg": "a.png", "b.jpg": "x/b.png", "C.jpg": "c.png", "d.jpg": "d-gt.png"}
    assert matches.without_photo == ("a_mask.png",)
    assert matches.describe() == (
        "1 by path, 1 by file name, 1 without regard to case or accents' form, "
        "1 without the usual suffixes (_mask and others)"
    )


def test_a_suffix_chooses_between_several_masks_of_a_photo():
    photos = ["ulm_1_leftImg8bit.png", "ulm_2_leftImg8bit.png"]
    masks = [f"ulm_{n}_gtFine_{kind}.png" for n in (1, 2) for kind in ("color", "labelIds", "labelTrainIds")]
    with pytest.raises(DatasetError, match=r"'ulm_1_leftImg8bit\.png' fits 3 masks"):
        match_masks(photos, masks)
    matches = match_masks(photos, masks, "_gtFine_labelTrainIds")
    assert matches.masks == {photos[0]: masks[2], photos[1]: masks[5]}
    assert matches.describe() == "2 without the suffix _gtFine_labelTrainIds"
    assert match_masks(["a.jpg"], ["x/a.truth.png"], ".truth").masks == {"a.jpg": "x/a.truth.png"}
    assert match_masks(["a.jpg"], ["a.png"], "_nothing").masks == {}


@pytest.mark.parametrize(
    ("photos", "masks", "said"),
    [
        (["images/1.jpg"], ["x/1.png", "y/1.png"], "fits 2 masks, e.g. 'x/1.png' and 'y/1.png'"),
        (["cats/1.jpg", "dogs/1.jpg"], ["1.png"], "fits both 'cats/1.jpg' and 'dogs/1.jpg'"),
        (["a.jpg", "a.webp"], ["a.png"], "fits both"),
        (["a.jpg"], ["a.png", "a.tif"], "fits 2 masks"),
        (["a.jpg"], ["a_mask.png", "a_seg.png"], "fits 2 masks"),
        (["img_1.jpg", "1.jpg"], ["1_mask.png"], "fits both"),
    ],
)
def test_an_ambiguous_match_is_an_error_with_the_names(photos, masks, said):
    with pytest.raises(DatasetError, match=said):
        match_masks(photos, masks)


def test_where_nothing_matches_three_names_of_each_side_are_shown(tmp_path):
    error = no_match_error([f"p{n}.jpg" for n in range(9)], ["m2.png", "m1.png"], tmp_path / "masks")
    assert "photos are called 'p0.jpg', 'p1.jpg', 'p2.jpg', masks 'm1.png', 'm2.png'." in str(error)


def test_masks_are_files_that_keep_exact_values(tmp_path):
    for name in ("a.png", "b.TIF", "c.gif", "d.bmp", "e.jpg", "f.webp"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    assert scan_masks(tmp_path)["path"].tolist() == ["a.png", "b.TIF", "c.gif", "d.bmp"]
    for name in ("a.png", "b.TIF", "c.gif", "d.bmp"):
        (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match=r"there are only \.jpg, \.webp files, which are photos or have lost"):
        scan_masks(tmp_path)
    with pytest.raises(DatasetError, match="is not a folder"):
        scan_masks(tmp_path / "gone")


@pytest.mark.parametrize(
    ("photos", "masks", "pairs"),
    [
        (["cats/1.jpg", "dogs/2.jpg"], ["dogs/1.png", "dogs/2.png"], {"dogs/2.jpg": "dogs/2.png"}),
        (["cats/1.jpg"], ["cats/1_mask.png", "dogs/1_mask.png"], {"cats/1.jpg": "cats/1_mask.png"}),
        (["Cats/1.jpg", "dogs/1.jpg"], ["cats/1.png"], {"Cats/1.jpg": "cats/1.png"}),
        (["a/1.jpg", "a/2.jpg"], ["a/2.png", "b/1.png"], {"a/2.jpg": "a/2.png"}),
    ],
)
def test_folders_of_one_name_keep_their_masks_to_themselves(photos, masks, pairs):
    matches = match_masks(photos, masks)
    assert matches.masks == pairs
    assert set(matches.without_photo) == set(masks) - set(pairs.values())


def test_a_match_between_folders_of_other_names_is_shown():
    matches = match_masks(["JPEGImages/a.jpg", "JPEGImages/b.jpg"], ["SegmentationClass/a.png", "b.png"])
    assert matches.describe() == "2 by file name; 'JPEGImages/a.jpg' has 'SegmentationClass/a.png'"
