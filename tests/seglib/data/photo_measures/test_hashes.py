"""Perceptual hashes, against `imagehash` and by what changes them."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from seglib.data.photo_measures.hashes import difference_hash, hamming_distance, mirrored

RAMP = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1)))


def blobs(seed: int) -> Image.Image:
    """A smooth random grey image, 64 x 48."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8), dtype=np.uint8)
    return Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)


def distance(first: int, second: int) -> int:
    return int(hamming_distance(np.uint64(first), np.uint64(second)))


def test_a_ramp_grows_brighter_everywhere():
    assert difference_hash(RAMP) == 2**64 - 1
    assert difference_hash(RAMP.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


def test_one_colour_has_a_hash_too():
    assert difference_hash(Image.new("L", (64, 64), 90)) == 0
    assert difference_hash(Image.new("L", (1, 1), 90)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_hashes_are_those_of_imagehash(seed):
    imagehash = pytest.importorskip("imagehash", reason="imagehash comes with cleanvision, which is not installed")
    picture = blobs(seed)
    assert f"{difference_hash(picture):016x}" == str(imagehash.dhash(picture))


def test_another_size_or_brightness_hardly_changes_a_hash_and_another_image_does():
    for seed in range(5):
        picture = blobs(seed)
        brighter = ImageEnhance.Brightness(picture.point(lambda value: value // 2)).enhance(1.3)
        assert distance(difference_hash(picture), difference_hash(picture.resize((48, 36)))) <= 6
        assert distance(difference_hash(picture), difference_hash(brighter)) <= 6
        assert distance(difference_hash(picture), difference_hash(blobs(seed + 5))) > 12


def test_the_hash_of_a_mirrored_image_follows_from_the_hash():
    picture = blobs(3)
    assert distance(mirrored(difference_hash(picture)), difference_hash(picture.transpose(0))) <= 2
    assert mirrored(mirrored(0x0123456789ABCDEF)) == 0x0123456789ABCDEF


def test_distances_count_bits():
    first = np.array([[0], [1]], np.uint64)
    assert hamming_distance(first, np.array([0, 3, 2**64 - 1], np.uint64)).tolist() == [[0, 2, 64], [1, 1, 63]]
