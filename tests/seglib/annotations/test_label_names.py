"""Which class a folder's label names: spelling, plurals, synonyms, and the label map as people write it."""

import pytest

from seglib.annotations.class_names import (
    clean_label_map,
    fold_label,
    match_labels,
    name_classes,
    read_label_map,
    singular_forms,
)
from seglib.classes import VOC_CLASSES
from seglib.errors import UsageError

_COCO_TEXT = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,"
    "snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO = tuple(_COCO_TEXT.split(","))
PLURALS = {
    **{"person": "people", "bus": "buses", "bench": "benches", "sheep": "sheep", "skis": "skis", "knife": "knives"},
    **{"wine glass": "wine glasses", "sandwich": "sandwiches", "couch": "couches", "mouse": "mice", "tv": "TVs"},
    **{"scissors": "scissors", "toothbrush": "toothbrushes", "broccoli": "broccoli"},
}
ADE = ("wall", "sky", "person, individual, someone", "windowpane, window", "shelf", "glass, drinking glass", "stairs")


@pytest.mark.parametrize("name", COCO)
def test_the_plural_of_every_coco_class_names_it(name):
    plural = PLURALS.get(name, f"{name}s")
    for label in (name, plural, plural.upper(), plural.replace(" ", "_"), plural.title().replace(" ", "-")):
        assert match_labels([label], COCO) == {label: (name,)}


@pytest.mark.parametrize("name", VOC_CLASSES[1:])
def test_a_label_of_coco_names_the_class_of_voc_and_the_other_way_round(name):
    voc = {"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "tv": "tvmonitor"}
    words = {"dining table": "diningtable", "potted plant": "pottedplant", **voc}
    coco = next((one for one, other in words.items() if other == name), name)
    assert match_labels([PLURALS.get(coco, f"{coco}s")], VOC_CLASSES) == {PLURALS.get(coco, f"{coco}s"): (name,)}
    plural = PLURALS.get(name, f"{name}s")
    assert match_labels([plural], COCO) == {plural: (coco,)}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        *(("windows", "windowpane, window"), ("Persons", "person, individual, someone"), ("shelves", "shelf")),
        *(("skies", "sky"), ("glasses", "glass, drinking glass"), ("stair", "stairs"), ("people", ADE[2])),
    ],
)
def test_synonyms_and_plurals_of_ade20k(label, name):
    assert match_labels([label], ADE) == {label: (name,)}


@pytest.mark.parametrize(
    "label", ["background", "__background__", "void", "none", "", "others", "ca", "cat_photos", "s", "us", "ss"]
)
def test_what_names_no_class(label):
    assert match_labels([label], ("background", "void", "none", "cat", "person")) == {label: ()}


def test_the_same_name_goes_before_a_plural():
    assert match_labels(["glasses", "glass"], ("glass", "glasses")) == {"glasses": ("glasses",), "glass": ("glass",)}


def test_a_label_that_fits_two_classes_equally_well_names_both():
    assert match_labels(["axes"], ("axe", "ax")) == {"axes": ("axe", "ax")}
    assert match_labels(["bike"], ("bicycle, bike", "motorbike; bike")) == {
        "bike": ("bicycle, bike", "motorbike; bike")
    }


def test_accents_are_equal_however_they_are_coded():
    assert match_labels(["cafe\N{COMBINING ACUTE ACCENT}s"], ("caf\N{LATIN SMALL LETTER E WITH ACUTE}",)) != {}
    assert fold_label("Cafe\N{COMBINING ACUTE ACCENT}") == fold_label("caf\N{LATIN SMALL LETTER E WITH ACUTE}")


@pytest.mark.parametrize(
    ("plural", "singular"), [("buses", "bus"), ("berries", "berry"), ("leaves", "leaf"), ("policewomen", "policewoman")]
)
def test_singulars(plural, singular):
    assert singular in singular_forms(plural)


def test_no_singular_of_a_word_that_ends_in_ss():
    assert singular_forms("grass") == []


# --- the label map ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.txt", "n02123045 = tabby, tabby cat\n\n# a comment\nwolf_pack=dog\nempty =\n"),
        ("map.txt", "\N{ZERO WIDTH NO-BREAK SPACE}n02123045 = tabby, tabby cat\r\nwolf_pack = dog\r\nempty =\r\n"),
        ("map.csv", 'label,class\nn02123045,"tabby, tabby cat"\nwolf_pack,dog\nempty,\n'),
        ("map.txt", 'n02123045, "tabby, tabby cat"\nwolf_pack, dog\nempty,\n'),
    ],
)
def test_a_label_map_is_read_from_lines_or_csv(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, "utf-8", newline="")
    assert read_label_map(file) == {"n02123045": "tabby, tabby cat", "wolf_pack": "dog", "empty": ""}


def test_an_equals_sign_within_a_name_needs_spaces_around_the_other_one(tmp_path):
    file = tmp_path / "map.txt"
    file.write_text("a=b = cat\n")
    assert read_label_map(file) == {"a=b": "cat"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "maps no label"),
        ("cats = cat\nCATS = dog\n", "twice"),
        ("a = b = c\n", "one = between them"),
        ("cats = cat\ndogs\n", "label = class"),
        ("cats,cat,1\n", "two columns"),
        ("just words\n", "two columns"),
        (" = cat\n", "expected a label"),
        ("cats = background\n", "leave the class empty"),
    ],
)
def test_a_label_map_that_contradicts_itself_is_refused(tmp_path, text, what):
    file = tmp_path / "map.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=what):
        read_label_map(file)


def test_the_label_map_goes_before_the_names_of_labels():
    found = name_classes(["Cats", "wolves", "dogs"], ("cat", "dog"), {"wolves": "dog", "cats": "", "dogs": "cats"})
    assert found == {"Cats": (), "wolves": ("dog",), "dogs": ("cat",)}


def test_a_class_of_the_label_map_that_the_model_does_not_know_is_none():
    assert name_classes(["tabby"], ("dog",), {"tabby": "cat"}) == {"tabby": ()}


def test_a_label_may_be_mapped_twice_to_the_same_class():
    assert clean_label_map([("cats", "cat"), ("Cats", "cat")], "x") == {"cats": "cat", "Cats": "cat"}
