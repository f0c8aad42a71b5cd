"""YOLO labels are read with their class names; what is wrong with them is one sentence."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seglib.annotations.yolo import parse_names, read_yolo
from seglib.errors import DatasetError

SIZE = (20, 10)
LEFT = "0 0 0 0.5 0 0.5 1 0 1"
CORNER = "1 0 0 0.1 0 0.1 0.2 0 0.2"


@pytest.fixture
def labels(tmp_path) -> Callable[..., Path]:
    """Write files below a folder: labels(("a.txt", "0 ..."), ...)."""

    def write(*files: tuple[str, str | bytes]) -> Path:
        for name, content in files:
            file = tmp_path / "set" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "set"

    return write


NAMES = ("data.yaml", "names: [cat, dog]\n")


def test_class_k_is_index_k_plus_1_and_the_rest_is_background(labels):
    found = read_yolo(labels(NAMES, ("a.txt", f"{LEFT}\n\n1 0.5 0.5 1 0.5 1 1 0.5 1\n")))
    assert (found.classes, found.names) == (("background", "cat", "dog"), ("a.txt",))
    mask = found.mask("a.txt", SIZE)
    expected = np.zeros((10, 20), np.uint8)
    expected[:, :10] = 1
    expected[5:, 10:] = 2
    assert mask.dtype == np.uint8
    assert (mask == expected).all()


def test_a_class_called_background_is_the_background(labels):
    found = read_yolo(labels(("data.yaml", "names: [cat, Background, dog]"), ("a.txt", f"{LEFT}\n{CORNER}\n")))
    assert found.classes == ("background", "cat", "dog")
    mask = found.mask("a.txt", SIZE)
    assert (mask[0, 0], mask[9, 9], mask[0, 19]) == (0, 1, 0)
    assert read_yolo(found.path).mask("a.txt", SIZE).max() == 1


def test_the_smaller_polygon_lies_on_top_in_whichever_order(labels):
    for lines in (f"{LEFT}\n{CORNER}", f"{CORNER}\n{LEFT}"):
        mask = read_yolo(labels(NAMES, ("a.txt", lines))).mask("a.txt", SIZE)
        assert (mask[0, 0], mask[9, 0]) == (2, 1)


def test_of_equal_polygons_the_later_one_lies_on_top(labels):
    mask = read_yolo(labels(NAMES, ("a.txt", f"{LEFT}\n1{LEFT[1:]}"))).mask("a.txt", SIZE)
    assert mask[0, 0] == 2


def test_an_empty_file_is_background(labels):
    found = read_yolo(labels(NAMES, ("a.txt", ""), ("b.txt", "\n \n"), ("c.txt", b"\xef\xbb\xbf" + LEFT.encode())))
    assert [int(found.mask(name, SIZE).max()) for name in found.names] == [0, 0, 1]


def test_a_folder_can_be_pickled(labels):
    found = pickle.loads(pickle.dumps(read_yolo(labels(NAMES, ("a.txt", LEFT)))))
    assert found.mask("a.txt", SIZE).any()


@pytest.mark.parametrize(
    ("yaml", "folder", "label", "name"),
    [
        ("data.yaml", ".", "labels/cats/a.txt", "labels/cats/a.txt"),  # as ultralytics
        ("data.yaml", "labels", "labels/a.txt", "a.txt"),
        ("dataset.yaml", "labels/train", "labels/train/a.txt", "a.txt"),
        ("data.yaml", ".", "train/labels/a.txt", "train/labels/a.txt"),  # as Roboflow
        ("data.yaml", "train/labels", "train/labels/a.txt", "a.txt"),
        ("data.yml", ".", "a.txt", "a.txt"),
    ],
)
def test_labels_and_names_are_found_where_tools_put_them(labels, yaml, folder, label, name):
    root = labels((yaml, NAMES[1]), (label, LEFT), ("labels/.hidden/x.txt", ""))
    if "labels/" in label:
        labels(("train.txt", "./images/a.jpg"), ("README.roboflow.txt", "Hello."))
    found = read_yolo(root / folder)
    assert (found.classes, found.names) == (("background", "cat", "dog"), (name,))
    assert found.mask(name, SIZE).any()


def test_classes_txt_names_the_classes_and_is_no_label(labels):
    found = read_yolo(labels(("classes.txt", "cat\r\n\r\ndog\r\n"), ("a.txt", LEFT)))
    assert (found.classes, found.names) == (("background", "cat", "dog"), ("a.txt",))


def test_two_lists_of_names_agree_or_are_refused(labels):
    folder = labels(NAMES, ("classes.txt", "cat\ndog\n"), ("a.txt", LEFT))
    assert read_yolo(folder).classes == ("background", "cat", "dog")
    labels(("classes.txt", "dog\ncat\n"))
    with pytest.raises(DatasetError, match=r"'data\.yaml' and 'classes\.txt' in 'set' name different classes"):
        read_yolo(folder)
    assert read_yolo(folder, ("dog", "cat")).classes == ("background", "dog", "cat")


def test_a_yaml_without_names_is_passed_over(labels):
    found = read_yolo(labels(("data.yaml", "train: images\n"), ("classes.txt", "cat\n"), ("a.txt", LEFT)))
    assert found.classes == ("background", "cat")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: ['cat', \"dog\", wild boar]\nnc: 3\n", ("cat", "dog", "wild boar")),
        ("nc: 2\nnames:\n- cat\n- dog\ntrain: images\n", ("cat", "dog")),
        ("names:\n  - cat # a comment\n  # another\n\n  - 'it''s'\n", ("cat", "it's")),
        ("path: x\nnames:\n  0: person\n  1: traffic light  # red\nval: y\n", ("person", "traffic light")),
        ("names:\n  1: dog\n  0: cat\n", ("cat", "dog")),
        ("names: {0: cat, 1: 'dog'}\n", ("cat", "dog")),
        ("names: [ 'cat',\n  'dog', # a comment\n  'cow',\n]\n", ("cat", "dog", "cow")),
        ("names:\r\n  - cat\r\n  - dog\r\n", ("cat", "dog")),
        ("names:\n  - a:b\n  - a#b\n  - 12\n  - -x\n", ("a:b", "a#b", "12", "-x")),
        ('names: ["\\u00e9", "q\\"x"]', ("é", 'q"x')),
        ("train: images\n", None),
    ],
)
def test_names_are_read_in_the_forms_that_yaml_gives_them(text, names):
    assert parse_names(text) == names


@pytest.mark.parametrize(
    "text",
    [
        *("names: cat\n", "names:\n", "names: [a, b\n", "names: ['a]\n", "names: []\n", "names: &x [a]\n"),
        *("names: [a: b]\n", "names: >\n  a\n", "names: [a]\nnc: 2\n", "names:\n  - [a]\n", "names:\n  - - a\n"),
        *("names:\n  0: a\n  2: b\n", "names:\n  a: b\n", "names:\n  - !!python/object a\n", "names:\n  - *x\n"),
        *("names:\n  - a\n    b\n", "names: {0: a, 0: b}\n", 'names: ["\\x"]\n', "names:\n  - a" + " a" * 50_000 + "]"),
    ],
)
def test_names_in_other_forms_are_refused(labels, text):
    folder = labels(("data.yaml", text), ("a.txt", LEFT))
    with pytest.raises(DatasetError, match=r"names in 'data\.yaml' cannot be read .*: give them with `classes`"):
        read_yolo(folder)
    assert read_yolo(folder, ["cat"]).classes == ("background", "cat")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1 0.1", "line 2 is a box"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has 5 numbers after the class"),
        ("0 0 0 0.5 0 0.5 1 0.9", "has 7 numbers after the class: .*leave out confidences"),
        ("0", "has 0 numbers"),
        ("0 0 0 1 1", "is a box"),
        ("2 0 0 0.5 0 0.5 1", "has the class 2, and there are the classes 0 to 1"),
        ("-1 0 0 0.5 0 0.5 1", "has the class -1"),
        ("0.5 0 0 0.5 0 0.5 1", r"has the class 0\.5"),
        ("0 0 0 100 0 100 50", "outside of 0 to 1"),
        ("0 0 0 -0.2 0 0.5 1", "outside of 0 to 1"),
        ("0 0 0 nan 0 0.5 1", "not finite"),
        ("inf 0 0 1 0 0.5 1", "not finite"),
        ("cat 0 0 1 0 0.5 1", "not a number"),
    ],
)
def test_a_wrong_line_is_a_sentence_and_other_files_are_read(labels, line, said):
    found = read_yolo(labels(NAMES, ("a.txt", f"{LEFT}\n{line}\n"), ("b.txt", LEFT)))
    with pytest.raises(DatasetError, match=said) as caught:
        found.mask("a.txt", SIZE)
    assert str(caught.value).startswith("The labels 'a.txt' cannot be used: ")
    assert found.mask("b.txt", SIZE).any()


def test_what_is_no_text_is_a_sentence(labels):
    found = read_yolo(labels(NAMES, ("a.txt", b"\xff\xfe0\x00")))
    with pytest.raises(DatasetError, match="not UTF-8"):
        found.mask("a.txt", SIZE)
    (found.path / "a.txt").unlink()
    with pytest.raises(DatasetError, match="is gone"):
        found.mask("a.txt", SIZE)


def test_coordinates_a_hundredth_outside_are_cut_off(labels):
    found = read_yolo(labels(NAMES, ("a.txt", "0 -0.01 -0.01 1.01 0 1.01 1.01 0 1")))
    assert (found.mask("a.txt", SIZE) == 1).all()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["cat", "cat"], "2 class names"),
        ([""], "1 class names"),
        ([f"c{k}" for k in range(255)], "255 class names: expected 1 to 254"),
        (["background", "_background_"], "2 class names"),
    ],
)
def test_names_are_different_and_at_most_254(labels, names, said):
    folder = labels(("a.txt", ""))
    with pytest.raises(DatasetError, match=said):
        read_yolo(folder, names)
    assert len(read_yolo(folder, [f"c{k}" for k in range(254)]).classes) == 255


def test_a_folder_without_labels_or_names_is_a_sentence(labels, tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        read_yolo(tmp_path / "gone")
    with pytest.raises(DatasetError, match="No YOLO labels below 'set'"):
        read_yolo(labels(NAMES, ("classes.txt", "cat")))
    (tmp_path / "set" / "data.yaml").rename(tmp_path / "set" / "other.yaml")
    (tmp_path / "set" / "classes.txt").rename(tmp_path / "set" / "a.txt")
    with pytest.raises(DatasetError, match="give them in the order of their numbers with `classes`"):
        read_yolo(tmp_path / "set")


def test_numbers_in_classes_txt_are_those_of_the_classes(labels):
    found = read_yolo(labels(("classes.txt", "1: dog\n0: cat\n"), ("a.txt", LEFT)))
    assert found.classes == ("background", "cat", "dog")
    with pytest.raises(DatasetError, match="expected each number from 0 on once"):
        read_yolo(labels(("classes.txt", "1: dog\n2: cat\n")))
