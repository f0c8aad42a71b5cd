import io

import numpy as np
import pytest
from PIL import Image

from seglib.classes import VOC_CLASSES, palette, unpainted_values
from seglib.masks import overlay, png

MASK = np.array([[0, 8], [12, 255]], np.uint8)


def test_an_index_png_is_a_palette_picture_whose_values_are_the_classes():
    with Image.open(io.BytesIO(png.encode_index_png(MASK))) as image:
        assert image.mode == "P"
        assert np.array(image).tolist() == MASK.tolist()
        assert image.convert("RGB").getpixel((1, 0)) == (64, 0, 0)  # cat in VOC colours


def test_an_index_png_is_read_back_exactly():
    found = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (png.decode_index_png(png.encode_index_png(found)) == found).all()


def test_a_colour_picture_is_no_mask():
    with pytest.raises(ValueError, match="mode RGB"):
        png.decode_index_png(png.encode_png(Image.new("RGB", (2, 2))))


def test_stretching_repeats_pixels_and_mixes_none():
    assert png.resize_mask(MASK, (4, 4)).tolist() == np.repeat(np.repeat(MASK, 2, 0), 2, 1).tolist()


@pytest.mark.parametrize(("alpha", "cat"), [(0.0, (100, 100, 100)), (1.0, (64, 0, 0)), (0.5, (82, 50, 50))])
def test_alpha_mixes_photo_and_class_and_leaves_background_and_void(alpha, cat):
    photo = Image.new("RGB", (2, 2), (100, 100, 100))
    painted = overlay.draw_overlay(photo, MASK, palette("voc"), alpha)
    assert painted.getpixel((1, 0)) == pytest.approx(cat, abs=1)
    assert painted.getpixel((0, 0)) == (100, 100, 100)
    assert painted.getpixel((1, 1)) == (100, 100, 100)


def test_the_colour_mask_alone_shows_void_in_white():
    colours = np.array(overlay.colour_mask(MASK, palette("voc")))
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert colours[1, 0].tolist() == [64, 0, 128]
    assert colours[1, 1].tolist() == [255, 255, 255]


def test_the_legend_names_what_is_there():
    assert overlay.legend_entries([MASK], VOC_CLASSES, palette("voc")) == [("cat", (64, 0, 0)), ("dog", (64, 0, 128))]


def test_the_legend_begins_with_the_largest_class():
    mask = np.array([[1, 2, 2], [3, 2, 1]], np.uint8)
    entries = overlay.legend_entries([mask], ("background", "a", "b", "c"), palette("voc"))
    assert [name for name, _ in entries] == ["b", "a", "c"]


def test_without_a_background_the_first_class_is_painted_and_named_like_the_others():
    """The first of the 150 classes of ADE20K is wall."""
    classes, mask = ("wall", "sky"), np.array([[0, 1], [0, 255]], np.uint8)
    assert unpainted_values(classes) == (255,)
    assert unpainted_values(("sky", "background")) == (1, 255)
    photo = Image.new("RGB", (2, 2), (100, 100, 100))
    painted = overlay.draw_overlay(photo, mask, palette("okabe-ito", classes), 1.0, unpainted=unpainted_values(classes))
    wall, sky = (tuple(colour) for colour in palette("okabe-ito", classes).tolist())
    assert [painted.getpixel(place) for place in ((0, 0), (1, 0), (1, 1))] == [wall, sky, (100, 100, 100)]
    assert overlay.legend_entries([mask], classes, palette("okabe-ito", classes)) == [("wall", wall), ("sky", sky)]


def test_a_sheet_has_four_tiles_a_row_and_space_for_its_legend():
    tile = (
        Image.new("RGB", (100, 50)),
        "a caption that is far too long to fit below a tile of this width, by any measure",
    )
    one, five = overlay.draw_contact_sheet([tile]), overlay.draw_contact_sheet([tile] * 5, [("cat", (64, 0, 0))])
    assert one.width < 400 < five.width
    assert five.height > 2 * 320
    assert overlay.draw_contact_sheet([tile]).tobytes() == one.tobytes()


def test_alt_text_names_present_classes_largest_first():
    assert overlay.alt_text({"background": 0.5, "sofa": 0.12, "cat": 0.34, "dog": 0.004}) == "cat 34 %, sofa 12 %"
    assert overlay.alt_text({"background": 1.0}) == "nothing but background"


def test_images_stand_side_by_side():
    sheet = overlay.side_by_side(Image.new("RGB", (2, 3), "red"), Image.new("RGB", (4, 3), "blue"))
    assert sheet.size == (6, 3)
    assert (sheet.getpixel((0, 0)), sheet.getpixel((5, 2))) == ((255, 0, 0), (0, 0, 255))
