import numpy as np
import pytest

from seglib.classes import VOC_CLASSES, VOID, animal_of_label, class_lookup, palette
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


# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def oklab(linear: np.ndarray) -> np.ndarray:
    """Björn Ottosson's space, in which distance is difference as it is seen."""
    to_cones = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
    to_lab = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]
    return np.cbrt(np.clip(linear, 0, 1) @ np.transpose(to_cones)) @ np.transpose(to_lab)


def least_distance(colours: np.ndarray, vision: str) -> float:
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = oklab(linear @ np.transpose(VISIONS[vision]))
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return apart[np.triu_indices(len(colours), 1)].min()


@pytest.mark.parametrize("vision", list(VISIONS))
def test_no_two_classes_of_the_safe_palette_look_alike(vision):
    """Background aside: no mask paints it, and charts write its name."""
    assert least_distance(palette("okabe-ito")[1:], vision) > 0.075


@pytest.mark.parametrize("vision", list(VISIONS))
@pytest.mark.parametrize(("count", "least"), [(6, 0.038), (21, 0.038), (60, 0.022), (150, 0.02), (255, 0.02)])
def test_colours_of_many_classes_stay_apart(count, least, vision):
    """0.02 is about the least difference that eyes notice."""
    for names in ([f"class {number}" for number in range(1, count)], [f"{number}-kind" for number in range(1, count)]):
        assert least_distance(palette("okabe-ito", ["background", *names])[1:], vision) > least


def test_the_21_known_names_keep_their_colours_among_255():
    names = [*(f"class {number}" for number in range(234)), *VOC_CLASSES]
    colours = palette("okabe-ito", names)
    assert (colours[234:] == palette("okabe-ito")).all()
    assert len(np.unique(colours, axis=0)) == 255


def test_the_colour_of_a_name_depends_on_neither_its_place_nor_mostly_on_the_other_names():
    names = [f"class {number}" for number in range(40)]
    of_all = dict(zip(names, palette("okabe-ito", names).tolist(), strict=True))
    assert dict(zip(names[::-1], palette("okabe-ito", names[::-1]).tolist(), strict=True)) == of_all
    for some in (names[:10], names[10:20], names[20:30], names[30:]):
        few = dict(zip(some, palette("okabe-ito", some).tolist(), strict=True))
        assert sum(of_all[name] == few[name] for name in some) >= 4


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


def test_a_lookup_finds_each_class_by_its_name_and_void_for_the_others():
    table = class_lookup(("background", "cat", "dog", "cat"), ("dog", "background", "cat"))
    assert (table.dtype, table.shape) == (np.uint8, (256,))
    assert table[:4].tolist() == [1, 2, 0, 2]
    assert class_lookup(("background", "sofa"), ("background",))[:2].tolist() == [0, VOID]
    assert set(table[4:]) == {VOID}
