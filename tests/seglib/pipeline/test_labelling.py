"""Labels from folders or from names: rows change, masks do not."""

import pandas as pd
import pytest

from seglib.errors import UsageError
from seglib.maintenance import prune
from seglib.pipeline.labelling import suggest_names
from seglib.pipeline.session import RunOptions
from tests.seglib.small_runs import counts, run

BY_NAME, BY_FOLDER = (RunOptions(workers=0, label_from=one) for one in ("name", "folder"))


@pytest.fixture
def flat(paint, tmp_path):
    """As Kaggle's cats and dogs: one folder, and the label in the names."""
    paint("train/cat.0.png", cat=(0, 0, 32, 48))
    paint("train/cat.1.png", "cat", dog=(0, 0, 8, 8))
    paint("train/dog.0.png", dog=(0, 0, 64, 24))
    paint("train/dog.1.png")
    return tmp_path / "photos" / "train"


def labels(store) -> list[str | None]:
    column = store.table()["label"].astype("object")
    return column.where(column.notna(), None).tolist()


def test_labels_come_from_names_when_asked_and_nothing_is_computed_for_it(flat, store, fake):
    first = run(flat, store, fake)
    assert labels(store) == [None] * 4
    masks = {path.name: path.stat().st_mtime_ns for path in store.path.rglob("masks/*/*.png")}
    assert counts(run(flat, store, fake, BY_NAME)) == (4, 0, 4, 0)
    assert labels(store) == ["cat", "cat", "dog", "dog"]
    assert store.table()["split"].astype("object").unique().tolist() == ["train"]
    assert {path.name: path.stat().st_mtime_ns for path in store.path.rglob("masks/*/*.png")} == masks
    assert [one.run for one in store.runs()] == [first.run]
    run(flat, store, fake, BY_FOLDER)
    assert labels(store) == [None] * 4


def test_a_first_run_may_ask_for_them(flat, store, fake):
    assert counts(run(flat, store, fake, BY_NAME)) == (4, 4, 0, 0)
    assert labels(store) == ["cat", "cat", "dog", "dog"]


def test_later_runs_keep_the_choice_for_new_photos_too(flat, store, fake, paint):
    run(flat, store, fake, BY_NAME)
    paint("train/fox.0.png", "person")
    run(flat, store, fake)
    assert labels(store) == ["cat", "cat", "dog", "dog", "fox"]
    prune.prune(store)
    run(flat, store, fake)
    assert labels(store) == ["cat", "cat", "dog", "dog", "fox"]


def test_a_dataset_labelled_by_folders_stays_so(photos, store, fake, paint):
    for options in (BY_NAME, BY_FOLDER):
        run(photos, store, fake, options)
    paint("birds/x.png", "person")
    run(photos, store, fake)
    assert labels(store) == ["birds", "cats", "cats", "dogs", "dogs"]


def test_asking_again_writes_nothing(flat, store, fake):
    run(flat, store, fake, BY_NAME)
    parts = sorted(store.path.glob("datasets/*/files/*"))
    run(flat, store, fake, BY_NAME)
    assert sorted(store.path.glob("datasets/*/files/*")) == parts


def test_unreadable_photos_are_labelled_too(flat, store, fake):
    (flat / "dog.2.png").write_bytes(b"")
    run(flat, store, fake)
    run(flat, store, fake, BY_NAME)
    assert store.failures()["label"].tolist() == ["dog"]


def test_changed_and_vanished_photos_keep_right_rows(flat, store, fake, paint):
    run(flat, store, fake)
    (flat / "dog.1.png").unlink()
    paint("train/cat.1.png", "dog")
    assert counts(run(flat, store, fake, BY_NAME)) == (3, 1, 2, 0)
    assert labels(store) == ["cat", "cat", "dog"]
    assert store.table().set_index("path").loc["cat.1.png", "dominant"] == "dog"


def test_an_unknown_source_is_refused():
    with pytest.raises(UsageError, match="folder or name, not 'names'"):
        RunOptions(label_from="names")


# --- the offer ---


def offered(names: list[str], label: str | None = None) -> str | None:
    return suggest_names(pd.DataFrame({"path": names, "label": [label] * len(names)}))


def test_names_that_share_words_are_offered(flat, store, fake):
    notes: list[str] = []
    run(flat, store, fake, on_note=notes.append)
    assert notes[0].startswith("All photos have the same folder label or none, and their names begin with 'cat' (2)")
    assert "`label_from`" in notes[0]
    notes.clear()
    run(flat, store, fake, on_note=notes.append)  # nothing is new
    run(flat, store, fake, BY_NAME, on_note=notes.append)
    assert notes == []


@pytest.mark.parametrize("label", [None, "images"])
def test_it_names_the_words(label):
    names = [f"{word}_{number}.jpg" for word in ("ant", "bee", "cat", "dog") for number in range(3)]
    assert "'ant' (3), 'bee' (3), 'cat' (3) and 1 more" in str(offered(names, label))


def test_numbered_test_photos_beside_them_are_no_hindrance():
    names = [f"train/{word}.{number}.jpg" for word in ("cat", "dog") for number in range(4)]
    assert "'cat' (4), 'dog' (4):" in str(offered([*names, *(f"test1/{number}.jpg" for number in range(4))]))


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_1.jpg", "IMG_2.jpg"],  # one word
        ["ant.jpg", "bee.jpg", "cat.jpg"],  # each once
        ["001.jpg", "002.jpg"],
        [f"{number}.jpg" for number in range(9)]
        + ["cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg"],  # most have none
    ],
)
def test_names_without_words_in_common_are_no_offer(names):
    assert offered(names) is None


def test_folders_with_labels_are_enough(photos, store, fake, paint):
    for name in ("cats/cat.1.png", "cats/cat.2.png", "dogs/dog.1.png", "dogs/dog.2.png"):
        paint(name)
    notes: list[str] = []
    run(photos, store, fake, on_note=notes.append)
    assert not [note for note in notes if "label_from" in note]
