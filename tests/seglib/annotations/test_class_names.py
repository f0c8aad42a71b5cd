"""Lists of classes and colour maps, as programs and people write them."""

import pytest

from seglib.annotations.class_names import (
    as_class_names,
    canonical_name,
    parse_class_names,
    read_class_names,
    read_labelmap,
    voc_colours,
)
from seglib.classes import VOC_CLASSES, VOID, palette
from seglib.errors import UsageError


@pytest.mark.parametrize("data", [b"__background__\ncat\n\n dog \n", b"\xef\xbb\xbfBackground\r\ncat\r\ndog",
                                  "_background_\ncat\ndog\n".encode("utf-16"),
                                  b"__ignore__\n_background_\ncat\ndog\n"])  # fmt: skip
def test_class_names_are_one_a_line(tmp_path, data):
    (tmp_path / "classes.txt").write_bytes(data)
    assert read_class_names(tmp_path / "classes.txt") == ("background", "cat", "dog")
    assert parse_class_names(str(tmp_path / "classes.txt")) == ("background", "cat", "dog")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names 0 classes"),
        ("cat\nCat\n", "names the class 'cat' twice"),
        ("Background\n_background_\n", "names the class 'background' twice"),
    ],
)
def test_lists_without_distinct_names_are_refused(tmp_path, text, said):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_class_names(tmp_path / "classes.txt")


def test_names_on_the_command_line_are_a_list_or_a_file(tmp_path):
    assert parse_class_names("Background, cat,dog") == ("background", "cat", "dog")
    assert parse_class_names("cat") == ("cat",)
    for text in ("gone.txt", "folder/classes"):
        with pytest.raises(UsageError, match="are no file"):
            parse_class_names(text)
    for text in ("a,,b", "", "a,a"):
        with pytest.raises(UsageError, match="different names"):
            parse_class_names(text)
    assert as_class_names(None) is None
    assert as_class_names(["_background_", "cat"]) == ("background", "cat")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("__background__", "Background"),
        ("_background_", "BACKGROUND"),
        ("dining table", "diningtable"),
        ("potted-plant", "pottedplant"),
        ("tv", "tvmonitor"),
        ("Airplane", "aeroplane"),
    ],
)
def test_names_of_one_class(one, other):
    assert canonical_name(one) == canonical_name(other)


def test_voc_names_are_all_different_classes():
    assert len({canonical_name(name) for name in VOC_CLASSES}) == 21


def test_the_colours_of_voc_are_its_palette_and_that_of_void():
    colours = voc_colours()
    assert colours.pop((224, 224, 192)) == VOID
    assert list(colours) == [tuple(colour) for colour in palette("voc").tolist()]


def test_a_labelmap_names_colours(tmp_path):
    file = tmp_path / "labelmap.txt"
    file.write_text("# label:color_rgb:parts:actions\ncat:64,0,0::\nbackground:0,0,0::\ndog:250, 50,83\nvoid:1,2,3::\n")
    classes, colours = read_labelmap(file)
    assert classes == ("background", "cat", "dog")
    assert colours == {(0, 0, 0): 0, (64, 0, 0): 1, (250, 50, 83): 2, (1, 2, 3): VOID}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat", "has the line 'cat'"),
        ("cat:1,2,256::", "has the line"),
        ("cat:1,2,3::\ndog:1,2,3::", "gives one colour to two classes"),
        ("cat:1,2,3::\ncat:1,2,4::", "names the class 'cat' twice"),
        ("# nothing", "names 0 classes"),
    ],
)
def test_a_labelmap_that_contradicts_itself_is_refused(tmp_path, text, said):
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_labelmap(tmp_path / "labelmap.txt")


@pytest.mark.parametrize(
    "text",
    [
        "0 background\n1 cat\n2 dog\n",
        "0: background\n1: cat\n2: dog\n",
        "2,dog\n0,background\n1,cat\n",
        "id,name\n0,background\n1,cat\n2,dog\n",
        "00\tbackground\n01\tcat\n02\tdog\n",
    ],
)
def test_indices_before_the_names_are_read_as_such(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    assert read_class_names(tmp_path / "classes.txt") == ("background", "cat", "dog")


def test_names_that_begin_with_numbers_stay_as_they_are(tmp_path):
    (tmp_path / "classes.txt").write_text("background\n2 wheeler\n3 wheeler\n")
    assert read_class_names(tmp_path / "classes.txt") == ("background", "2 wheeler", "3 wheeler")


@pytest.mark.parametrize("text", ["1 wall\n2 floor\n", "0 a\n2 b\n", "0 a\n0 b\n"])
def test_indices_that_do_not_count_from_0_are_refused(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UsageError, match="expected each number from 0 on once"):
        read_class_names(tmp_path / "classes.txt")
    (tmp_path / "classes.yaml").write_text("names:\n  0: cat\n")
    with pytest.raises(UsageError, match="is no list of class names"):
        read_class_names(tmp_path / "classes.yaml")
