"""Image quality, against arrays one can work out by hand and against cleanvision."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from seglib.data import image
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.photo_measures.measures import measure_photo
from seglib.data.photo_measures.quality import Quality, measure_quality, small_grey
from seglib.data.resize import Resize
from tests.conftest import ROOT

ONE_COLOUR = np.log2(3)
"""Entropy of an image of one colour, whose three channels have one value each."""
RED = (0.241 * 255**2) ** 0.5 / 255


def measure(pixels: np.ndarray) -> Quality:
    return measure_quality(pixels, small_grey(Image.fromarray(pixels)))


def checkerboard(side: int, low: int = 0, high: int = 255) -> np.ndarray:
    cells = np.indices((side, side)).sum(0) % 2
    return np.repeat(np.where(cells, high, low).astype(np.uint8)[:, :, None], 3, 2)


def test_a_black_and_a_white_image_are_at_the_ends_of_every_measure():
    black, white = (measure(np.full((40, 60, 3), value, np.uint8)) for value in (0, 255))
    assert (black.brightness, black.contrast, black.highlights, black.shadows) == (0, 0, 0, 0)
    assert (white.brightness, white.contrast, white.highlights, white.shadows) == (1, 0, 1, 1)
    assert black.image_entropy == white.image_entropy == pytest.approx(ONE_COLOUR)


def test_half_black_half_white_has_the_largest_contrast():
    found = measure(checkerboard(40))
    assert (found.brightness, found.contrast) == pytest.approx((0.5, 0.5))
    assert (found.shadows, found.highlights) == (0, 1)
    assert found.image_entropy == pytest.approx(ONE_COLOUR + 1)


def test_red_is_as_bright_as_the_colour_model_says():
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 255
    assert measure(red).brightness == pytest.approx(RED, abs=1 / 1024)


def test_percentiles_are_those_of_numpy():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 40, 3), dtype=np.uint8)
    values = np.sqrt(pixels.astype(float) ** 2 @ [0.241, 0.691, 0.068]) / 255
    found = measure(pixels)
    assert (found.shadows, found.highlights) == pytest.approx(tuple(np.percentile(values, [5, 99])), abs=0.004)
    assert (found.brightness, found.contrast) == pytest.approx((values.mean(), values.std()), abs=0.001)


def test_blur_makes_a_photo_less_sharp():
    photo = Image.open(ROOT / "dataset" / "sample" / "others" / "astronaut.png").convert("RGB")
    scores = [measure(np.asarray(photo.filter(ImageFilter.GaussianBlur(radius)))).sharpness for radius in (0, 5, 20)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.29 > scores[2] > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_an_image_of_any_shape_is_measured(shape):
    small = Image.fromarray(np.full((*shape, 3), 128, np.uint8))
    found = measure_photo(small, small.size, b"", GpsPrecision.OFF)
    assert found.quality.brightness == pytest.approx(128 / 255, abs=0.001)
    assert found.aspect == shape[1] / shape[0]


def degrade(photo: Image.Image, how: int, rng: np.random.Generator) -> Image.Image:
    """The photo as it is, darker, blurred, nearly of one colour, or overexposed."""
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    return [
        lambda: photo,
        lambda: ImageEnhance.Brightness(photo).enhance(rng.uniform(0.15, 0.6)),
        lambda: photo.filter(ImageFilter.GaussianBlur(rng.uniform(3, 25))),
        lambda: Image.blend(photo, Image.new("RGB", photo.size, colour), rng.uniform(0.9, 0.995)),
        lambda: ImageEnhance.Brightness(photo).enhance(rng.uniform(2, 12)),
    ][how]()


@pytest.mark.slow
def test_ready_filters_flag_the_photos_that_cleanvision_flags(shared, tmp_path):
    properties = pytest.importorskip("cleanvision.issue_managers.image_property", reason="cleanvision is not installed")
    paths = sorted((shared / "data" / "dogs-cats" / "test_set").rglob("*.jpg"))[::5]
    blurriness, rng, flags = properties.BlurrinessProperty(), np.random.default_rng(0), []
    for number, path in enumerate(paths):
        degrade(Image.open(path).convert("RGB"), number % 5, rng).save(tmp_path / "a.jpg", quality=92)
        measures = image.read_image(tmp_path / "a.jpg", Resize("64"), image.Extras(measures=GpsPrecision.OFF)).measures
        assert measures is not None
        found = measures.quality
        with Image.open(tmp_path / "a.jpg") as photo:
            raw = pd.DataFrame([blurriness.calculate(photo)])
            scores = blurriness.get_scores(raw, "blurry", normalizing_factor=0.01, color_threshold=0.18)
            shadows, highlights = properties.calc_percentile_brightness(photo, [5, 99])
            theirs = (highlights < 0.32, shadows > 0.95, scores.iloc[0, 0] < 0.29, properties.calc_entropy(photo) < 3)
        ours = (found.highlights < 0.32, found.shadows > 0.95, found.sharpness < 0.29, found.image_entropy < 3)
        flags.append((theirs, ours))
    cleanvision, own = (np.array(side) for side in zip(*flags, strict=True))  # (photos, 4)
    assert (cleanvision.sum(0) >= 5).all()
    assert ((cleanvision == own).mean(0) >= 0.97).all()
