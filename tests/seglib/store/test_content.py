"""The content of a photo, of the classes that its dataset's labels name, and what the label map changes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from seglib.annotations.class_names import name_classes
from seglib.classes import ANIMALS, animal_of_label
from seglib.errors import DamagedFileError, UsageError
from seglib.fileio import parquet_parts
from seglib.masks.statistics import blobs_column, dominant_animal, pixels_column
from seglib.pipeline.run import describe_run
from seglib.query import columns
from seglib.store import content
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store
from tests.seglib.store.test_schemas import recipe

CLASSES = ("background", "bus", "car", "cat", "dog", "none")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.create(tmp_path / "store")


def add_photos(store: Store, name: str, labels: Sequence[str | None]):
    """A dataset with one photo per label; contents are numbered from 0, and shared between datasets."""
    dataset = store.register_dataset(store.path.parent / name)
    rows = [
        dict.fromkeys(FILES_SCHEMA.names)
        | {"path": f"{i:04}.jpg", "label": label, "image_id": f"{i:032x}", "bytes": 1, "mtime_ns": 1, "scan": 1}
        | {"width": 4, "height": 4}
        for i, label in enumerate(labels)
    ]
    parquet_parts.append(store.atomic, store.files_folder(dataset), pa.Table.from_pylist(rows, FILES_SCHEMA))
    return dataset


def add_run(store: Store, classes: Sequence[str], pixels: Sequence[Sequence[int]]):
    """A run with these pixels (photos, classes)."""
    run = store.keep_run(describe_run(recipe(tuple(classes)), parameters=1, versions={}))
    rows = [
        dict.fromkeys(stats_schema(classes).names)
        | {"image_id": f"{i:032x}", "grid_width": 4, "grid_height": 4, "dominant": "background"}
        | {pixels_column(name): number for name, number in zip(classes, numbers, strict=True)}
        | {blobs_column(name): 0 for name in classes}
        | {"animal": dominant_animal(np.array(numbers, np.int32), classes)}
        for i, numbers in enumerate(pixels)
    ]
    parquet_parts.append(store.atomic, store.stats_folder(run), pa.Table.from_pylist(rows, stats_schema(classes)))
    return run


def column(store: Store, name: str, *runs: str) -> list[str | None]:
    return [None if pd.isna(value) else value for value in store.table(runs or None)[name]]


def test_the_content_is_the_named_class_with_most_pixels(store):
    add_photos(store, "set", ["cars", "Bus", "cars", "others", None])
    add_run(store, CLASSES, [[9, 1, 2, 8, 8, 9], [0, 3, 2, 0, 0, 0], [0, 2, 2, 5, 0, 0], [0] * 6, [0, 0, 1, 9, 9, 0]])
    assert column(store, "content") == ["car", "bus", "bus", "none", "car"]  # the first of equals
    assert column(store, "label_class") == ["car", "bus", "car", None, None]
    assert columns.label_agreement(store.table()).tolist()[:3] == ["agrees", "agrees", "contradicts"]


def test_there_is_no_content_where_the_labels_name_no_class_of_the_model(store):
    add_photos(store, "set", ["n0123", "others", None])
    run = add_run(store, CLASSES, [[0, 0, 5, 5, 0, 0]] * 3)
    assert column(store, "content", run.run) == [None, None, None]
    assert columns.label_agreement(store.table()).isna().all()


def test_datasets_choose_among_their_own_labels(store):
    add_photos(store, "vehicles", ["cars", "buses"])
    add_photos(store, "animals", ["cats", "x"])
    add_photos(store, "other", ["x", "y"])
    add_run(store, CLASSES, [[0, 1, 3, 4, 5, 0], [0, 3, 1, 5, 4, 0]])
    found = store.table()
    by_dataset = found.groupby("dataset", observed=True)["content"].agg(list)
    assert by_dataset["vehicles"] == ["car", "bus"]
    assert by_dataset["animals"] == ["dog", "cat"]  # cat is named, and dog comes with it
    assert found.loc[found["dataset"] == "other", "content"].isna().all()
    (alone,) = [store.table(datasets=["animals"])["content"].tolist()]
    assert alone == ["dog", "cat"]


def test_labels_of_photos_that_a_run_has_not_computed_count(store):
    """The content of a photo does not change while the rest of its dataset is computed."""
    add_photos(store, "set", ["cars", "cars", "buses"])
    add_run(store, CLASSES, [[0, 3, 1, 0, 0, 0]])
    assert column(store, "content") == ["bus"]


def test_each_run_chooses_among_the_classes_that_it_knows(store):
    add_photos(store, "set", ["cars", "couches"])
    one = add_run(store, CLASSES, [[0, 3, 1, 0, 0, 0], [0] * 6])
    other = add_run(store, ("background", "sofa, couch, lounge"), [[1, 2], [0, 9]])
    table = store.table()
    assert table.loc[table["run"] == one.run, "content"].tolist() == ["car", "none"]
    assert table.loc[table["run"] == other.run, "content"].tolist() == ["sofa, couch, lounge"] * 2
    assert table.loc[table["run"] == other.run, "label_class"].isna().tolist() == [True, False]


@pytest.mark.parametrize("classes", [("background", "cat", "dog"), ("x", "dog", "y", "cat"), ("dog",), ("cat", "x")])
@pytest.mark.parametrize("labels", [["cats", "dogs", "others", None], ["Cat", "DOGS"], ["dogs"]])
def test_for_cats_and_dogs_content_is_animal_and_agreement_what_it_was(store, classes, labels):
    """The oracle is the verdict of earlier versions, row by row, ties included."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 3, (24, len(classes))).tolist()
    add_photos(store, "set", [labels[i % len(labels)] for i in range(24)])
    add_run(store, classes, pixels)
    table = store.table()
    assert table["content"].astype("object").tolist() == table["animal"].astype("object").tolist()
    before = [verdict(label, animal) for label, animal in zip(table["label"], table["animal"], strict=True)]
    found = [None if pd.isna(one) else one for one in columns.label_agreement(table)]
    assert found == before
    assert len(set(before)) > 1


def verdict(label: object, animal: str) -> str | None:
    claimed = None if pd.isna(label) else animal_of_label(str(label))
    return (
        None if claimed is None else "agrees" if animal == claimed else "neither" if animal == "none" else "contradicts"
    )


def test_content_row_by_row(store):
    """Against a plain loop over random photos, with a hundred labels and classes."""
    rng = np.random.default_rng(1)
    classes = ("background", *(f"thing {i}" for i in range(120)))
    labels = [f"Thing-{i}s" if i < 100 else None for i in rng.integers(0, 110, 300)]
    pixels = rng.integers(0, 4, (300, 121)) * (rng.random((300, 121)) < 0.03)
    add_photos(store, "set", labels)
    add_run(store, classes, pixels.tolist())
    named = {label: found for label, (found,) in name_classes({*labels} - {None}, classes, {}).items()}
    candidates = [name for name in classes if name in named.values()]
    expected = []
    for numbers in pixels:
        best = max(candidates, key=lambda name: numbers[classes.index(name)])
        expected.append(best if numbers[classes.index(best)] else "none")
    assert column(store, "content") == expected
    assert column(store, "label_class") == [named.get(label) for label in labels]
    assert len(set(expected)) > 50


# --- the label map ---------------------------------------------------------------------------------------------------


def test_a_label_map_changes_content_at_once_and_nothing_else(store):
    dataset = add_photos(store, "set", ["n1", "n2"])
    add_run(store, CLASSES, [[0, 1, 2, 0, 0, 0], [0, 2, 1, 0, 0, 0]])
    before, version = store.table(), store.version()
    content.keep_label_map(store, dataset, {"N1": "cars", "n2": "bus"})
    after = store.table()
    assert after["content"].tolist() == ["car", "bus"]
    assert store.version() != version
    rest = [name for name in before.columns if name not in content.CONTENT_COLUMNS]
    pd.testing.assert_frame_equal(before[rest], after[rest])
    assert content.read_label_map(store, dataset) == {"N1": "cars", "n2": "bus"}
    content.keep_label_map(store, dataset, {})
    pd.testing.assert_frame_equal(store.table(), before)


def test_a_label_map_can_say_that_a_label_names_no_class(store):
    dataset = add_photos(store, "set", ["cars", "bus"])
    add_run(store, CLASSES, [[0, 1, 2, 0, 0, 0], [0, 1, 1, 0, 0, 0]])
    content.keep_label_map(store, dataset, {"cars": ""})
    assert column(store, "content") == ["bus", "bus"]


def test_a_label_that_fits_two_classes_names_none_until_the_map_says_which(store):
    dataset = add_photos(store, "set", ["axes"])
    add_run(store, ("axe", "ax"), [[1, 2]])
    assert column(store, "content") == [None]
    found = content.find_named_classes(["axes"], ("axe", "ax"), {})
    assert (found.ambiguous, found.candidates) == ({"axes": ("axe", "ax")}, ())
    assert content.describe_labels(store, dataset)["class"].tolist() == ["axe or ax"]
    content.keep_label_map(store, dataset, {"axes": "ax"})
    assert column(store, "content") == ["ax"]


def test_labels_are_described_with_what_they_name_to_each_run(store):
    dataset = add_photos(store, "set", ["couches", "dogs", "dogs", "n1", None])
    add_run(store, ("sofa", "dog"), [])
    add_run(store, ("couch", "horse"), [])
    content.keep_label_map(store, dataset, {"n1": "horse"})
    assert content.describe_labels(store, dataset).to_dict("list") == {
        "label": ["couches", "dogs", "n1"],
        "photos": [1, 2, 1],
        "class": ["sofa, couch", "dog", "horse"],
        "mapped": [False, False, True],
    }


@pytest.mark.parametrize(
    "text", ["{", '{"labels": []}', '{"labels": {"a": 1}}', '{"labels": {"a": "background"}}', "{}"]
)
def test_a_damaged_label_map_is_said_and_never_ignored(store, text):
    dataset = add_photos(store, "set", ["cars"])
    add_run(store, CLASSES, [[0, 1, 2, 0, 0, 0]])
    store.label_map_record(dataset.id).write_text(text)
    with pytest.raises(DamagedFileError, match=r"labels\.json is damaged: give the dataset's label map again"):
        store.table()
    assert list(content.find_damaged(store)) == [dataset.id]
    content.keep_label_map(store, dataset, {"cars": "car"})
    assert column(store, "content") == ["car"]


def test_a_label_map_that_contradicts_itself_is_not_kept(store):
    dataset = add_photos(store, "set", ["cars"])
    with pytest.raises(UsageError, match="twice"):
        content.keep_label_map(store, dataset, {"cars": "car", "CARS": "bus"})
    assert content.read_label_map(store, dataset) == {}


def test_missing_pixels_count_as_none(store):
    """A part of an older version may lack a class that came later."""
    add_photos(store, "set", ["cars", "bus"])
    run = add_run(store, CLASSES, [[0, 1, 2, 0, 0, 0]])
    table = pa.Table.from_pylist([{"image_id": f"{1:032x}", "grid_width": 4, "grid_height": 4}], stats_schema(CLASSES))
    parquet_parts.append(store.atomic, store.stats_folder(replace(run)), table)
    assert column(store, "content") == ["car", "none"]


def test_animals_come_first_among_equals():
    assert content.find_named_classes(["sofas", "dog"], ("sofa", "dog", "cat"), {}).candidates == (*ANIMALS, "sofa")
