import numpy as np
import pytest

from seglib.classes import VOC_CLASSES, animal_of_label, palette
from seglib.errors import UnknownName, UsageError


def test_voc_palette_has_the_devkits_colours():
    colours = palette("voc")
    assert colours.shape == (21, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[1].tolist() == [128, 0, 0]  # aeroplane
    assert colours[8].tolist() == [64, 0, 0]  # cat
    assert colours[12].tolist() == [64, 0, 128]  # dog
    assert colours[15].tolist() == [192, 128, 128]  # person


def test_voc_palette_of_all_indices_ends_in_the_devkits_void():
    assert palette("voc", [""] * 256)[255].tolist() == [224, 224, 192]


@pytest.mark.parametrize("name", ["voc", "okabe-ito", "random", "random:7"])
def test_no_two_classes_share_a_colour(name):
    assert len(np.unique(palette(name), axis=0)) == 21


def test_safe_palette_follows_the_name_and_not_the_index():
    own = palette("okabe-ito", ("background", "pet", "cat"))
    assert own[2].tolist() == palette("okabe-ito")[VOC_CLASSES.index("cat")].tolist()
    assert len(np.unique(own, axis=0)) == 3


def test_a_seed_gives_the_same_colours_and_another_seed_others():
    assert (palette("random:3") == palette("random:3")).all()
    assert (palette("random:3") != palette("random:4")).any()


@pytest.mark.parametrize(("name", "error"), [("jet", UnknownName), ("voc:3", UnknownName), ("random:x", UsageError)])
def test_an_unknown_palette_says_which_there_are(name, error):
    with pytest.raises(error, match="random:"):
        palette(name)


@pytest.mark.parametrize(
    ("label", "animal"),
    [("cats", "cat"), ("Dog", "dog"), (" DOGS ", "dog"), ("others", None), (None, None), ("", None)],
)
def test_a_folder_claims_an_animal_or_nothing(label, animal):
    assert animal_of_label(label) == animal
