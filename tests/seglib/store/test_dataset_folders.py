"""Where a store notes the folder of a dataset: relative to itself if both can be moved together, else absolute."""

import json
import shutil
from pathlib import Path

import pytest

from seglib.fileio import json_record
from seglib.store.store import Store


def recorded_root(store: Store) -> str:
    (file,) = store.dataset_records()
    return json.loads(file.read_text())["root"]


@pytest.mark.parametrize(
    ("store", "photos", "root"),
    [
        ("output", "photos", "../photos"),
        ("output", "dataset/sample", "../dataset/sample"),
        ("photos/.output", "photos", ".."),
        ("photos/stores/one", "photos", "../.."),
        ("output", "output/photos", "photos"),
    ],
)
def test_a_store_beside_or_inside_its_photos_moves_with_them(tmp_path, store, photos, root):
    before, after = tmp_path / "before", tmp_path / "after"
    (before / photos).mkdir(parents=True)
    made = Store.create(before / store).register_dataset(before / photos)
    assert recorded_root(Store(before / store)) == root
    shutil.copytree(before, after)
    shutil.rmtree(before)
    copied = Store(after / store)
    assert [dataset.root for dataset in copied.datasets()] == [after / photos]
    again = copied.register_dataset(after / photos)
    assert (again.id, again.name, again.root) == (made.id, made.name, after / photos)


def test_a_store_elsewhere_notes_the_whole_path(tmp_path):
    (tmp_path / "photos").mkdir()
    store = Store.create(tmp_path / "stores" / "one")
    store.register_dataset(tmp_path / "photos")
    assert recorded_root(store) == str(tmp_path / "photos")
    shutil.move(tmp_path / "stores" / "one", tmp_path / "two")
    assert [dataset.root for dataset in Store(tmp_path / "two").datasets()] == [tmp_path / "photos"]


def test_a_relative_root_does_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    Store.create("output").register_dataset(Path("photos"))
    assert Store("output").dataset("photos").root == tmp_path / "photos"
    monkeypatch.chdir(tmp_path / "output")
    assert Store(".").dataset("photos").root == tmp_path / "photos"


def test_a_record_with_an_absolute_root_is_known_again_and_written_relative(tmp_path):
    (tmp_path / "photos").mkdir()
    store = Store.create(tmp_path / "output")
    file = store.dataset_record("01234567")
    file.parent.mkdir(parents=True)
    file.write_bytes(json_record.encode({"root": str(tmp_path / "photos"), "name": "pets"}))
    assert store.dataset("pets").root == tmp_path / "photos"
    assert (found := store.register_dataset(tmp_path / "photos")).id == "01234567"
    assert (found.name, recorded_root(store)) == ("pets", "../photos")


def test_a_folder_reached_by_another_path_is_the_same_dataset(tmp_path):
    (tmp_path / "disk" / "photos").mkdir(parents=True)
    store = Store.create(tmp_path / "stores" / "one")
    store.register_dataset(tmp_path / "disk" / "photos")
    (tmp_path / "disk").rename(tmp_path / "mounted")
    (tmp_path / "disk").symlink_to(tmp_path / "mounted")
    store.register_dataset(tmp_path / "mounted" / "photos")
    assert len(store.datasets()) == 1


def test_other_photos_in_the_folder_of_a_dataset_that_has_moved_are_another_dataset(tmp_path):
    for name in ("photos", "moved"):
        (tmp_path / name).mkdir()
    store = Store.create(tmp_path / "output")
    first = store.register_dataset(tmp_path / "photos")
    store.write_dataset(type(first)(first.id, first.name, tmp_path / "moved"))
    second = store.register_dataset(tmp_path / "photos")
    assert second.id != first.id
    assert {d.name: d.root for d in store.datasets()} == {
        "photos": tmp_path / "moved",
        f"photos-{second.id}": tmp_path / "photos",
    }
    assert store.register_dataset(tmp_path / "photos") == second
