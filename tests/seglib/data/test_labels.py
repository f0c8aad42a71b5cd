"""Splits and labels of folders, one of which may be a class that is called like a split."""

from pathlib import Path

import pyarrow as pa
import pytest

from seglib.data.labels import labels_from_names, splits_and_labels
from seglib.data.scan import scan


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        # a vehicle beside other classes
        (["train/1.jpg", "cat/2.jpg"], [(None, "train"), (None, "cat")]),
        (["Train/1.jpg", "bus/2.jpg", "car/3.jpg"], [(None, "Train"), (None, "bus"), (None, "car")]),
        (["train/train/1.jpg", "train/cat/2.jpg"], [("train", "train"), ("train", "cat")]),
        (["test/train/1.jpg", "test/cat/2.jpg"], [("test", "train"), ("test", "cat")]),
        (["train/1.jpg", "train/steam/2.jpg", "cat/3.jpg"], [(None, "train"), (None, "steam"), (None, "cat")]),
        # a split
        (["train/1.jpg"], [("train", None)]),
        (["train/1.jpg", "test/2.jpg"], [("train", None), ("test", None)]),
        (["train/1.jpg", "test1/2.jpg"], [("train", None), (None, "test1")]),  # as Kaggle's cats and dogs
        (["train/1.jpg", "train_masks/1.gif"], [("train", None), (None, "train_masks")]),  # as Carvana
        (["train/1.jpg", "masks/1.png"], [("train", None), (None, "masks")]),
        (["train/1.jpg", "validation/2.jpg", "cat/3.jpg"], [("train", None), ("val", None), (None, "cat")]),
        (["train/cat/1.jpg", "cat/2.jpg"], [("train", "cat"), (None, "cat")]),  # it holds no images itself
        (["test/1.jpg", "cat/2.jpg"], [("test", None), (None, "cat")]),  # not a word for a thing
        (["training/1.jpg", "cat/2.jpg"], [("train", None), (None, "cat")]),
    ],
)
def test_train_is_a_class_beside_classes_and_a_split_elsewhere(paths, expected):
    splits, labels = splits_and_labels(pa.chunked_array([paths]), "set", ())
    assert list(zip(splits.to_pylist(), labels.to_pylist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        (("cat", "dog"), (None, "train")),
        ((), ("train", None)),
        (("test",), ("train", None)),
        (("cat", "val"), ("train", None)),
        (("masks",), ("train", None)),
    ],
)
def test_the_root_may_be_the_vehicle(tmp_path, siblings, expected):
    for name in ("train", *siblings):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    records = scan(tmp_path / "train").astype(object)
    assert tuple(records.loc[0, ["split", "label"]].where(lambda row: row.notna(), None)) == expected


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("train/cat.0.jpg", "cat"),
        ("dog.12499.jpg", "dog"),
        ("cat_001.png", "cat"),
        ("cat-1.png", "cat"),
        ("cat12.png", "cat"),
        ("cat (3).jpg", "cat"),  # as Windows numbers files
        ("Abyssinian_1.jpg", "Abyssinian"),
        ("red fox_1.jpg", "red fox"),
        ("狗.1.jpg", "狗"),
        ("cat.jpg", "cat"),
        ("0001.jpg", None),
        ("_x.jpg", None),
        ("a/b.c/-1.jpg", None),
    ],
)
def test_a_label_is_what_a_files_name_begins_with(name, label):
    assert labels_from_names(pa.array([name])).to_pylist() == [label]


def test_there_is_a_label_for_each_path():
    names = [str(Path("x") / f"{word}.{number}.jpg") for number in range(3) for word in ("cat", "dog")]
    assert labels_from_names(pa.array(names)).to_pylist() == ["cat", "dog"] * 3
