"""Masks in colours and in grey, and photos for the screen."""

import io

import numpy as np
import pytest
from PIL import Image

from dashboard.server import rendering
from seglib.classes import VOC_CLASSES


def test_void_is_transparent_too():
    from seglib.masks.png import encode_index_png

    data = rendering.colour_mask(encode_index_png(np.array([[0, 255, 8]], np.uint8)), "voc", VOC_CLASSES)
    assert np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[0, :, 3].tolist() == [0, 0, 255]


def test_only_a_class_that_is_called_background_is_transparent():
    from seglib.masks.png import encode_index_png

    mask = np.array([[0, 255, 1]], np.uint8)
    data = rendering.colour_mask(encode_index_png(mask), "okabe-ito", ("wall", "background"))
    assert np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[0, :, 3].tolist() == [255, 0, 0]
    grey = Image.open(io.BytesIO(rendering.preview(None, np.full((8, 8), 1, np.uint8), "voc", ("wall", "background"))))
    assert len(np.unique(np.asarray(grey))) == 1
    painted = rendering.preview(None, np.zeros((8, 8), np.uint8), "okabe-ito", ("wall", "background"))
    assert painted != rendering.preview(None, np.full((8, 8), 255, np.uint8), "okabe-ito", ("wall", "background"))


@pytest.mark.parametrize("values", [[0, 1, 8, 12, 20, 255], list(range(256))])
def test_a_grey_mask_holds_the_class_indices_and_no_colours(values):
    from seglib.masks.png import encode_index_png

    picture = Image.open(io.BytesIO(rendering.grey_mask(encode_index_png(np.array([values], np.uint8)))))
    assert picture.mode == "L"
    assert np.asarray(picture)[0].tolist() == values


def test_a_large_photo_is_turned_and_made_smaller_and_loses_its_metadata():
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "where it was taken"  # turn by 90 degrees; a description
    Image.new("RGB", (4000, 1000)).save(buffer, "JPEG", exif=exif)
    shown = Image.open(io.BytesIO(rendering.screen_photo(buffer.getvalue())))
    assert shown.size == (512, 2048)
    assert dict(shown.getexif()) == {}
