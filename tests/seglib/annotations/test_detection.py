"""How masks are read when nobody says it, and which are refused because two readings fit, or none."""

import numpy as np
import pytest
from PIL import Image

from seglib.annotations.options import MASK_FORMATS, MaskOptions
from seglib.annotations.reader import leave_out_masks, open_masks
from seglib.classes import VOC_CLASSES, palette
from seglib.errors import SegError, UnknownName, UsageError

OWN = ("background", "cat", "dog")
VOC_PALETTE = palette("voc", [""] * 256).tobytes()


def save(folder, *masks, colours: bytes | None = None, mode: str = "L"):
    """Save masks (rows of values) as 0.png, 1.png, ...; each row is 8 pixels wide."""
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(masks):
        image = Image.fromarray(np.repeat(np.array(rows, np.uint8)[:, None], 8, 1))
        if colours is not None:
            image.putpalette(colours)
        image.convert(mode if colours is None else image.mode).save(folder / f"{number}.png")
    return folder


def read(folder, name="0.png", wanted=None, **options):
    masks = open_masks(folder, MaskOptions(**options), wanted=wanted)
    mask = masks.read(name, (0, 0), any_size=True)
    return masks.format, [masks.classes[value] if value != 255 else "void" for value in mask[:, 0].tolist()]


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ((0, 8, 15, 255), {}, ("voc", ["background", "cat", "person", "void"])),
        ((1, 2, 3), {}, ("trimap", ["pet", "background", "void"])),
        ((0, 1, 2), {"format": "trimap", "offset": -1}, ("trimap", ["pet", "background", "void"])),
        ((0, 1, 2, 255), {"classes": OWN}, ("index", [*OWN, "void"])),
        ((0, 1, 255), {"format": "binary", "classes": ("background", "cat"), "ignore": (1,)},
         ("binary", ["background", "void", "cat"])),
        ((0, 255), {"format": "binary", "classes": ("cat",)}, ("binary", ["background", "cat"])),
        ((0, 1), {"format": "binary", "classes": ("cat",)}, ("binary", ["background", "cat"])),
        ((0, 128), {"format": "binary", "classes": ("cat",)}, ("binary", ["background", "cat"])),
        ((0, 1, 9, 16), {"offset": 1}, ("voc", ["void", "background", "cat", "person"])),
        ((0, 1, 2, 3), {"offset": 1, "classes": OWN}, ("index", ["void", *OWN])),
        ((0, 1, 2, 9), {"classes": OWN, "ignore": (9,)}, ("index", [*OWN, "void"])),
        ((0, 1, 2), {"format": "voc"}, ("voc", ["background", "aeroplane", "bicycle"])),
        ((0, 8), {"format": "voc"}, ("voc", ["background", "cat"])),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_grey_values_are_read(tmp_path, rows, options, expected, mode):
    assert read(save(tmp_path / "m", rows, mode=mode), **options) == expected


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ((0, 255), {}, "hold only 0 and 255: 255 is void"),
        ((255,), {}, "hold only 255"),
        ((0, 255), {"classes": ("background", "cat")}, "hold only 0 and 255"),
        ((0, 1), {}, "hold only 0 and 1, which fits binary masks and VOC's aeroplane"),
        ((0, 1, 255), {}, "which fits binary masks and VOC's aeroplane"),
        ((0, 128), {}, "hold only 0 and 128, and no class has such an index"),
        ((0, 1, 2), {}, "a trimap less one"),
        ((0, 1, 2, 3, 4, 255), {}, "the values 0 to 4, which may be indices into classes of your own"),
        ((0, 7, 23), {}, "a value without a class, e.g. 23: there are 21 classes"),
        ((0, 1, 2, 3), {"classes": OWN}, "a value without a class, e.g. 3: there are 3 classes"),
        ((0, 8, 15), {"classes": OWN}, "All of them are VOC's indices: leave out `classes`"),
        ((*(30 * (1,)), 9, 13, 0), {}, "classes count from 1 and 0 is unlabelled"),
        ((0, 1, 2), {"format": "trimap"}, "Trimaps less one take `offset` -1"),
        ((0, 8), {"format": "color"}, "grey values"),
        ((0, 1, 2), {"format": "binary", "classes": ("cat",)}, "Binary masks hold 0 and one other value"),
        ((1, 2), {}, "hold only 1 and 2, which may be an incomplete trimap"),
        ((0, 1, 2), {"ignore": (0,)}, "an incomplete trimap"),
        ((0, 255), {"format": "binary", "classes": ("cat",), "offset": 1}, "these masks are binary"),
        ((0, 255), {"format": "binary"}, "Binary masks name no class"),
        ((0, 255), {"format": "binary", "classes": OWN}, "Binary masks name no class"),
        ((0, 255), {"format": "binary", "classes": ("cat", "dog")}, "Binary masks name no class"),
        ((0, 1), {"format": "index"}, "Index masks name no class"),
    ],
)
def test_doubtful_values_are_refused_with_the_way_out(tmp_path, rows, options, said):
    with pytest.raises(SegError) as refused:
        read(save(tmp_path / "m", rows), **options)
    assert said in str(refused.value)


def reorder(*indices: int) -> bytes:
    """A palette that holds VOC's colours of these indices first."""
    voc = palette("voc", [""] * 256)
    return np.vstack([voc[list(indices)], voc])[:256].astype(np.uint8).tobytes()


@pytest.mark.parametrize(
    ("rows", "colours", "options", "expected"),
    [
        ((0, 1, 3), VOC_PALETTE, {}, ("voc", ["background", "aeroplane", "bird"])),
        ((0, 8, 12), b"\0" * 39, {"format": "voc"}, ("voc", ["background", "cat", "dog"])),
        ((0, 8, 15), VOC_PALETTE, {}, ("voc", ["background", "cat", "person"])),
        ((0, 1, 2), reorder(15, 8, 0), {}, ("voc", ["person", "cat", "background"])),
        ((0, 1, 2), reorder(15, 8, 0), {"format": "color"}, ("color", ["person", "cat", "background"])),
        ((0, 1, 2), reorder(15, 8, 0), {"format": "index", "classes": OWN}, ("index", list(OWN))),
        ((0, 1, 2), VOC_PALETTE, {"classes": OWN}, ("index", list(OWN))),
        ((0, 1), b"\xff\xff\xff\0\0\0", {"format": "binary", "classes": ("cat",)}, ("binary", ["cat", "background"])),
        ((0, 1), b"\0\0\0\xff\xff\xff", {"format": "binary", "classes": ("cat",)}, ("binary", ["background", "cat"])),
        ((0, 8), b"\x07\x07\x07" * 9, {"format": "voc"}, ("voc", ["background", "cat"])),
    ],
)
def test_palettes_are_read_by_colour_where_the_colours_say_more(tmp_path, rows, colours, options, expected):
    assert read(save(tmp_path / "m", rows, colours=colours), **options) == expected


@pytest.mark.parametrize(
    ("rows", "colours", "options", "said"),
    [
        ((0, 8), b"\x01\x02\x03" * 9, {}, "palette has colours that are not VOC's, e.g. (1, 2, 3)"),
        ((0, 1, 2), reorder(15, 8, 0), {"classes": OWN}, "VOC's colours in another order"),
        ((0, 1), b"\xff\xff\xff\0\0\0", {}, "hold only 0 and 255"),
        ((0, 1, 2), VOC_PALETTE, {}, "which labelme gives to all masks"),
        ((0, 1), VOC_PALETTE, {}, "which labelme gives to all masks"),
    ],
)
def test_palettes_that_contradict_are_refused(tmp_path, rows, colours, options, said):
    with pytest.raises(SegError) as refused:
        read(save(tmp_path / "m", rows, colours=colours), **options)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "colours", "wanted", "options", "expected"),
    [
        ((0, 1, 2), None, OWN, {}, ("index", list(OWN))),
        ((0, 8, 12), None, OWN, {}, ("voc", list(OWN))),
        ((0, 1, 2), reorder(12, 8, 0), OWN, {}, ("voc", ["dog", "cat", "background"])),
        ((1, 2, 3), None, ("background", "pet"), {}, ("trimap", ["pet", "background", "void"])),
        ((0, 1, 2), None, ("paper", "ink", "stain"), {}, ("index", ["paper", "ink", "stain"])),
        ((0, 2), None, ("background", "aeroplane", "bicycle"), {}, ("voc", ["background", "bicycle"])),
        ((0, 255), None, ("background", "cat"), {"format": "binary"}, ("binary", ["background", "cat"])),
    ],
)
def test_classes_to_learn_choose_between_vocs_indices_and_ones_own(tmp_path, rows, colours, wanted, options, expected):
    assert read(save(tmp_path / "m", rows, colours=colours), wanted=wanted, **options) == expected


def test_where_both_fit_the_classes_to_learn_are_refused(tmp_path):
    folder = save(tmp_path / "m", (0, 1, 2))
    with pytest.raises(SegError, match="may be VOC's indices or indices into background, aeroplane, cat"):
        read(folder, wanted=("background", "aeroplane", "cat"))
    with pytest.raises(SegError, match="may be VOC's indices or indices into background, bicycle, aeroplane"):
        read(folder, wanted=("background", "bicycle", "aeroplane"))


def save_rgb(folder, *masks):
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(masks):
        Image.fromarray(np.repeat(np.array(rows, np.uint8)[:, None], 8, 1)).save(folder / f"{number}.png")
    return folder


BLACK, CAT, DOG, VOID = (0, 0, 0), (64, 0, 0), (64, 0, 128), (224, 224, 192)


def test_colours_are_vocs_or_those_of_a_labelmap(tmp_path):
    folder = save_rgb(tmp_path / "m", (BLACK, CAT, DOG, VOID))
    assert read(folder) == ("color", ["background", "cat", "dog", "void"])
    assert read(folder, format="voc") == ("voc", ["background", "cat", "dog", "void"])
    labelmap = tmp_path / "labelmap.txt"  # beside the folder of masks, as CVAT writes it
    labelmap.write_text("dog:64,0,0::\nbackground:0,0,0::\nwolf:64,0,128::\nvoid:224,224,192::\n")
    assert read(folder) == ("color", ["background", "dog", "wolf", "void"])
    (tmp_path / "mine.txt").write_text("a:64,0,0::\nb:0,0,0::\nc:64,0,128::\nd:224,224,192::\n")
    assert read(folder, labelmap=tmp_path / "mine.txt") == ("color", ["b", "a", "c", "d"])
    with pytest.raises(UsageError, match="leave out `classes`"):
        MaskOptions(labelmap=labelmap, classes=OWN)


def test_a_grey_colour_of_a_labelmap_is_a_colour(tmp_path):
    folder = save_rgb(tmp_path / "m", (BLACK, (128, 128, 128)), (BLACK, CAT))
    (folder / "labelmap.txt").write_text("background:0,0,0::\nelephant:128,128,128::\ncat:64,0,0::\n")
    assert read(folder) == ("color", ["background", "elephant"])


def test_unknown_colours_are_refused_and_single_ones_cost_their_mask(tmp_path):
    with pytest.raises(SegError, match=r"stand for no class, e\.g\. \(1, 2, 3\)"):
        read(save_rgb(tmp_path / "a", ((1, 2, 3), (3, 2, 1), BLACK)))
    folder = save_rgb(tmp_path / "b", (BLACK, CAT, DOG), (BLACK, CAT, (1, 2, 3)))
    assert read(folder) == ("color", ["background", "cat", "dog"])
    with pytest.raises(SegError, match=r"'1\.png' holds the colour \(1, 2, 3\)"):
        read(folder, "1.png")


def test_photos_are_no_masks(tmp_path):
    (tmp_path / "m").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "m" / "photo.png")
    with pytest.raises(SegError, match="thousands of colours"):
        read(tmp_path / "m")


def test_one_mask_of_another_kind_costs_itself(tmp_path):
    folder = save(tmp_path / "m", (0, 8, 12), (0, 8, 12), (0, 77), colours=None)
    save_rgb(tmp_path / "n", (BLACK, CAT))
    (tmp_path / "n" / "0.png").rename(folder / "3.png")
    (folder / "4.png").write_bytes(b"no picture")
    assert read(folder)[0] == "voc"
    for name, said in (("2.png", "the value 77"), ("3.png", "RGB colours, where the others hold class indices"),
                       ("4.png", "cannot be read")):  # fmt: skip
        with pytest.raises(SegError, match=said):
            read(folder, name)


def test_half_colours_half_indices_are_refused(tmp_path):
    folder = save(tmp_path / "m", (0, 8))
    save_rgb(tmp_path / "n", (BLACK, CAT))
    (tmp_path / "n" / "0.png").rename(folder / "1.png")
    with pytest.raises(SegError, match="put the two kinds into two folders"):
        read(folder)


def test_cityscapes_names_are_not_vocs_classes(tmp_path):
    folder = save(tmp_path / "m", (0, 8, 13))
    (folder / "0.png").rename(folder / "ulm_0_gtFine_labelTrainIds.png")
    with pytest.raises(SegError, match="are Cityscapes', whose classes are not VOC's"):
        open_masks(folder)
    assert open_masks(folder, MaskOptions(classes=tuple(f"c{n}" for n in range(19)))).format == "index"


def test_the_sentence_says_what_was_taken_and_found(tmp_path):
    folder = save(tmp_path / "m", (0, 8, 8, 255), (0, 12, 12, 255))
    assert open_masks(folder).describe() == "2 masks read as VOC indices: background, cat, dog; 25.0 % ignored."


def test_of_many_masks_the_sentence_names_the_sample_that_it_speaks_of(tmp_path):
    folder = save(tmp_path / "m", *[(0, 8)] * 130)
    said = "130 masks read as VOC indices: background, cat (in a sample of 65)."
    assert open_masks(folder).describe() == said


def test_options_are_checked(tmp_path):
    with pytest.raises(UnknownName, match="There is no mask format 'png'"):
        MaskOptions(format="png")
    with pytest.raises(UsageError, match="leave out `classes`"):
        MaskOptions(format="trimap", classes=OWN)
    with pytest.raises(UsageError, match="leave them out with this `format`"):
        MaskOptions(format="coco", offset=1)
    with pytest.raises(UsageError, match="There is no"):
        open_masks(tmp_path / "gone")
    assert len(MASK_FORMATS) == 8
    assert len(VOC_CLASSES) == 21


def test_ignored_values_of_a_palette_mask_are_ignored(tmp_path):
    folder = save(tmp_path / "m", (0, 8, 12), colours=VOC_PALETTE)
    assert read(folder, ignore=(12,)) == ("voc", ["background", "cat", "void"])
    shifted = save(tmp_path / "s", (0, 1, 9, 13), colours=VOC_PALETTE)
    assert read(shifted, offset=1) == ("voc", ["void", "background", "cat", "dog"])
    with pytest.raises(SegError, match="`ignore` and `offset`, which speak of stored values, contradict the colours"):
        read(save(tmp_path / "r", (0, 1, 2), colours=reorder(15, 8, 0)), ignore=(2,))


def test_a_suffix_leaves_other_files_out_of_the_evidence(tmp_path):
    folder = save(tmp_path / "m", (0, 255))
    (folder / "0.png").rename(folder / "0_mask.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "0.png")
    options = {"format": "binary", "classes": ("cat",), "suffix": "_mask"}
    assert read(folder, "0_mask.png", **options) == ("binary", ["background", "cat"])
    with pytest.raises(SegError, match="No mask in 'm' ends in '_x'"):
        read(folder, suffix="_x")


def test_the_sentence_may_be_about_some_of_the_masks(tmp_path):
    masks = open_masks(save(tmp_path / "m", (0, 8), (0, 12)))
    assert masks.describe(["1.png"]) == "1 mask read as VOC indices: background, dog."


def test_black_masks_say_nothing_of_the_format(tmp_path):
    folder = save_rgb(tmp_path / "m", (BLACK, CAT), (BLACK, BLACK), (BLACK, BLACK), (BLACK, BLACK))
    assert read(folder) == ("color", ["background", "cat"])
    assert read(folder, "1.png") == ("color", ["background", "background"])
    assert read(save(tmp_path / "n", (0, 0)), format="voc") == ("voc", ["background", "background"])


def test_the_names_that_labelme_writes_beside_its_masks_are_taken(tmp_path):
    folder = save(tmp_path / "m", (0, 1, 2), colours=VOC_PALETTE)
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog\n")
    assert read(folder) == ("index", list(OWN))


def test_options_for_values_are_refused_where_there_are_none(tmp_path):
    folder = save_rgb(tmp_path / "m", (BLACK, CAT))
    with pytest.raises(UsageError, match="these masks are in colours"):
        read(folder, ignore=(8,))
    for wrong in ({"offset": 1.5}, {"ignore": (8.0,)}, {"ignore": (-1,)}):
        with pytest.raises(UsageError, match="whole number"):
            MaskOptions(**wrong)


def test_a_mask_among_the_photos_is_not_one(tmp_path):
    folder = save(tmp_path / "m", (0, 8))
    masks = open_masks(folder)
    (tmp_path / "link").symlink_to(folder)
    assert leave_out_masks(masks, folder, ["0.png", "1.png"]) == [False, True]
    assert leave_out_masks(masks, tmp_path, ["0.png", "m/0.png"]) == [True, False]
    assert leave_out_masks(masks, tmp_path / "link", ["0.png"]) == [False]
