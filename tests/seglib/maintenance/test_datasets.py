"""Datasets whose photos have moved or were copied, and those that a store no longer needs."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from seglib.data.resize import Resize
from seglib.errors import DatasetError, StoreError, UnknownName, UsageError
from seglib.fileio.process import host_and_boot
from seglib.maintenance import content_match, datasets, prune
from seglib.maintenance import status as maintenance_status
from seglib.store import tags
from seglib.store.store import Store
from tests.seglib.small_runs import counts, run


@pytest.fixture
def store(tmp_path) -> Store:
    """A store that is not beside its photos."""
    return Store.create(tmp_path / "stores" / "one")


def moved(photos: Path, name: str = "elsewhere") -> Path:
    return photos.rename(photos.with_name(name))


def copied(photos: Path, name: str, *, with_times: bool = False) -> Path:
    return shutil.copytree(
        photos, photos.with_name(name), copy_function=shutil.copy2 if with_times else shutil.copyfile
    )


# --- moving ---


@pytest.mark.parametrize("old", ["path", "name", "id"])
def test_after_a_move_all_is_as_before_and_nothing_is_computed(photos, store, fake, old):
    report = run(photos, store, fake)
    tags.tag(store, store.table()["image_id"][:2], "kept")
    (dataset,) = store.datasets()
    table = store.table()
    new = moved(photos)
    with pytest.raises(StoreError, match="the folder of 'photos' is gone"):
        store.image("photos", "cats/a.png")
    known_as = {"path": photos, "name": dataset.name, "id": dataset.id}[old]
    found = datasets.move_dataset(store, known_as, new)
    assert (found.dataset, found.root, found.files, found.found, found.merged) == ("photos", str(new), 4, 4, None)
    assert [(d.id, d.name, d.root) for d in store.datasets()] == [(dataset.id, "photos", new)]
    pd.testing.assert_frame_equal(store.table(), table)
    assert store.image("photos", "cats/a.png").size == (64, 48)
    again = run(new, store, fake)
    assert (again.run, *counts(again)) == (report.run, 4, 0, 4, 0)
    assert again.device is None, "no model was loaded"
    assert len(store.datasets()) == 1


def test_files_that_were_copied_have_other_times_and_need_no_model_all_the_same(photos, store, fake):
    run(photos, store, fake)
    new = copied(photos, "new")
    for file in new.glob("*/*"):
        os.utime(file, ns=(1, 1))
    shutil.rmtree(photos)
    datasets.move_dataset(store, photos, new)
    assert maintenance_status.find_drift(store, store.datasets()[0]).sentence == ""
    assert maintenance_status.read_status(store).stale == 0
    assert run(new, store, fake).device is None


def test_a_run_over_files_with_other_times_reads_them_and_needs_no_model(photos, store, fake):
    run(photos, store, fake)
    for file in photos.glob("*/*"):
        os.utime(file, ns=(1, 1))
    report = run(photos, store, fake)
    assert (*counts(report), report.device) == (4, 0, 4, 0, None)
    assert store.table(with_scan=True)["mtime_ns"].tolist() == [1] * 4


def test_a_file_of_the_same_size_with_another_content_is_computed(photos, store, fake, paint):
    file = photos / "cats" / "a.png"
    file.write_bytes(file.read_bytes().ljust(200, b"\0"))
    run(photos, store, fake)
    paint("cats/a.png", cat=(0, 0, 16, 48))
    file.write_bytes(file.read_bytes().ljust(200, b"\0"))
    os.utime(file, ns=(1, 1))
    assert counts(run(photos, store, fake)) == (4, 1, 3, 0)


def test_store_and_photos_that_moved_together_are_where_they_were(photos, fake, tmp_path):
    store = Store.create(tmp_path / "output")
    run(photos, store, fake)
    table = store.table()
    shutil.move(tmp_path / "output", tmp_path / "b" / "output")
    shutil.move(photos, tmp_path / "b" / "photos")
    store = Store(tmp_path / "b" / "output")
    assert maintenance_status.find_drifts(store)[0].sentence == ""
    assert counts(run(tmp_path / "b" / "photos", store, fake)) == (4, 0, 4, 0)
    pd.testing.assert_frame_equal(store.table(), table)
    found = datasets.move_dataset(store, photos, tmp_path / "b" / "photos")  # said all the same
    assert (found.found, found.merged) == (4, None)


def test_a_folder_that_was_scanned_as_a_dataset_of_its_own_becomes_part_of_the_moved_one(photos, store, fake, paint):
    first = run(photos, store, fake)
    new = copied(photos, "new")
    paint("cats/only_new.png", "person").rename(new / "cats" / "only_new.png")
    second = run(new, store, fake, resize=Resize("32x48"))
    assert len(store.table([second.run])) == 9
    shutil.rmtree(photos)
    report = datasets.move_dataset(store, "photos", new)
    assert (report.dataset, report.merged, report.found) == ("photos", "new", 4)
    (dataset,) = store.datasets()
    assert (dataset.name, dataset.root) == ("photos", new)
    table = store.table([second.run])
    assert table["path"].is_unique
    assert len(table) == 5
    assert {i["dataset"] for one in store.runs() for i in one.invocations} == {dataset.id}
    assert counts(run(new, store, fake, resize=Resize("32x48"))) == (5, 0, 5, 0)
    assert counts(run(new, store, fake)) == (5, 1, 4, 0)
    assert store.run(first.run).invocations[-1]["dataset"] == dataset.id


def test_a_folder_with_other_photos_is_refused_and_nothing_changes(photos, store, fake, paint, tmp_path):
    run(photos, store, fake)
    before = {file: file.read_bytes() for file in store.path.rglob("*") if file.is_file()}
    other = moved(photos)
    for name in ("a", "b", "c", "d"):  # the same paths, other pictures
        paint(f"{'cats' if name in 'ab' else 'dogs'}/{name}.png", "person", dog=(0, 0, 5, 5))
    with pytest.raises(DatasetError, match="Only 0 of the 4 files of the dataset 'photos' are in"):
        datasets.move_dataset(store, "photos", photos)
    with pytest.raises(DatasetError, match="Only 0 of the 4"):  # one level too high
        datasets.move_dataset(store, "photos", tmp_path)
    with pytest.raises(DatasetError, match="is not a folder"):
        datasets.move_dataset(store, "photos", tmp_path / "nowhere")
    with pytest.raises(UnknownName, match="There is no dataset 'x'; known are: photos"):
        datasets.move_dataset(store, "x", other)
    assert {file: file.read_bytes() for file in store.path.rglob("*") if file.is_file()} == before


def test_the_same_paths_and_sizes_with_other_contents_are_not_the_photos(photos, store, fake):
    run(photos, store, fake)
    new = copied(photos, "new", with_times=True)
    for file in new.glob("*/*"):
        status, data = file.stat(), file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DatasetError, match=r"Only 0 of the 4 .* and 4 have the same size and another content"):
        datasets.move_dataset(store, "photos", new)


def test_most_of_the_files_are_enough(photos, store, fake):
    run(photos, store, fake)
    new = moved(photos)
    (new / "cats" / "a.png").unlink()
    assert datasets.move_dataset(store, "photos", new).found == 3
    assert counts(run(new, store, fake)) == (3, 0, 3, 0)
    (new / "cats" / "b.png").unlink()
    new = new.rename(new.with_name("third"))
    assert datasets.move_dataset(store, "photos", new).found == 2  # of the three that were left


def test_half_of_the_files_are_not_enough(photos, store, fake):
    run(photos, store, fake)
    new = moved(photos)
    shutil.rmtree(new / "cats")
    with pytest.raises(DatasetError, match="Only 2 of the 4"):
        datasets.move_dataset(store, "photos", new)


def test_only_a_sample_of_unchanged_files_is_read(photos, store, fake, monkeypatch):
    run(photos, store, fake)
    read = []
    real = content_match.read_bytes
    monkeypatch.setattr(content_match, "read_bytes", lambda path: read.append(path.name) or real(path))
    monkeypatch.setattr(content_match, "SAMPLE", 2)
    datasets.move_dataset(store, "photos", moved(photos))
    assert sorted(read) == ["a.png", "d.png"]


def test_datasets_below_a_folder_move_with_it(photos, store, fake, tmp_path):
    for name in ("cats", "dogs"):
        run(photos / name, store, fake)
    assert [d.name for d in store.datasets()] == ["cats", "dogs"]
    new = moved(photos)
    reports = datasets.move_datasets(store, photos, new)
    assert [(one.dataset, one.root, one.found) for one in reports] == [
        ("cats", str(new / "cats"), 2),
        ("dogs", str(new / "dogs"), 2),
    ]
    assert [d.root for d in store.datasets()] == [new / "cats", new / "dogs"]
    with pytest.raises(UnknownName):  # nothing is left there
        datasets.move_datasets(store, photos, new)


def test_a_dataset_and_one_below_it_move_together_but_a_name_stands_for_one(photos, store, fake):
    run(photos, store, fake)
    run(photos / "cats", store, fake)
    new = moved(photos)
    assert [one.dataset for one in datasets.move_datasets(store, "cats", new / "cats")] == ["cats"]
    assert [one.dataset for one in datasets.move_datasets(store, photos, new)] == ["photos"]
    third = moved(new, "third")
    assert [one.dataset for one in datasets.move_datasets(store, new, third)] == ["photos", "cats"]


def test_a_name_that_fits_two_datasets_is_refused(photos, store, fake, tmp_path, monkeypatch):
    run(photos, store, fake)
    new = moved(photos, "old")
    datasets.move_dataset(store, "photos", new)
    shutil.copytree(new / "cats", photos)
    run(photos, store, fake)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="'photos' fits 2 datasets: name one by its id"):
        datasets.find_dataset(store, "photos")
    assert datasets.find_dataset(store, photos).root == photos


@pytest.mark.parametrize(
    "change", [lambda store, new: datasets.move_dataset(store, "photos", new), datasets.forget_dataset]
)
def test_nothing_is_changed_while_a_run_writes(photos, store, fake, change):
    run(photos, store, fake)
    host, boot = host_and_boot()
    (store.path / "tmp" / f"{host}.{boot}.{os.getppid()}").mkdir(parents=True)
    with pytest.raises(StoreError, match="when that is done"):
        change(store, *([moved(photos)] if change is not datasets.forget_dataset else ["photos"]))
    assert [dataset.root for dataset in store.datasets()] == [photos]


# --- recognising ---


def notes_of(photos: Path, store: Store, fake) -> list[str]:
    notes: list[str] = []
    run(photos, store, fake, on_note=notes.append)
    return notes


def test_a_run_over_the_new_folder_takes_it_as_moved_and_says_so(photos, store, fake):
    run(photos, store, fake)
    table = store.table()
    (note,) = notes_of(moved(photos), store, fake)
    assert "The photos of the dataset 'photos' have moved" in note
    assert str(photos) in note
    pd.testing.assert_frame_equal(store.table(), table)


def test_a_copy_of_a_folder_that_is_still_there_is_a_dataset_of_its_own(photos, store, fake):
    run(photos, store, fake)
    (_, note) = notes_of(copied(photos, "copy"), store, fake)
    assert "4 of the 4 photos of 'copy' are in the dataset 'photos' too" in note
    assert "gone" not in note
    assert len(store.table()) == 8


def test_most_of_the_photos_of_a_folder_that_is_gone_are_offered_as_moved(photos, store, fake):
    run(photos, store, fake)
    new = moved(photos)
    (new / "cats" / "a.png").unlink()
    first, _, last = notes_of(new, store, fake)
    command = f"python -m seglib dataset move {photos} {new}"
    assert "3 of the 4 files of the dataset 'photos', whose folder is gone, are here" in first
    assert command in first
    assert "its folder is gone" in last
    assert command in last
    assert len(store.datasets()) == 2
    datasets.move_dataset(store, photos, new)
    assert counts(run(new, store, fake)) == (3, 0, 3, 0)
    assert store.table()["path"].tolist() == ["cats/b.png", "dogs/c.png", "dogs/d.png"]


def test_two_datasets_that_could_have_moved_here_are_both_offered(photos, store, fake):
    run(photos, store, fake)
    run(copy := copied(photos, "copy"), store, fake)
    new = moved(photos)
    shutil.rmtree(copy)
    notes = notes_of(new, store, fake)
    assert sum("dataset move" in note and "files of the dataset" in note for note in notes) == 2
    assert len(store.datasets()) == 3


def test_photos_at_other_paths_are_recognised_by_content_at_the_end(photos, store, fake, tmp_path):
    run(photos, store, fake)
    (tmp_path / "all").mkdir()
    photos.rename(tmp_path / "all" / "pets")
    _, note = notes_of(tmp_path / "all", store, fake)
    assert "4 of the 4 photos of 'all' are in the dataset 'photos' too" in note
    assert "its folder is gone" in note


def test_a_damaged_record_of_a_dataset_that_has_moved_is_written_again(photos, store, fake):
    run(photos, store, fake)
    new = moved(photos)
    run(new, store, fake)
    (file,) = store.dataset_records()
    file.write_text("{")
    (note,) = notes_of(new, store, fake)
    assert note.startswith("The record of the dataset 'elsewhere' was damaged and is written again")
    assert [(d.name, d.root) for d in store.datasets()] == [("elsewhere", new)]
    assert store.damaged_datasets() == {}


# --- listing and forgetting ---


def test_datasets_are_listed_with_what_they_share(photos, store, fake):
    run(photos, store, fake)
    copy = copied(photos / "cats", "copy")
    run(photos / "copy", store, fake)
    shutil.rmtree(copy)
    entries = {entry.dataset: entry for entry in datasets.list_datasets(store)}
    assert [(e.files, e.shared, e.available) for e in entries.values()] == [(2, 2, False), (4, 2, True)]
    assert entries["photos"].root == str(photos)


def test_a_forgotten_dataset_leaves_the_table_and_its_photos_stay(photos, store, fake, paint):
    run(photos, store, fake)
    table = store.table()
    copy = copied(photos / "cats", "copy")
    paint("copy/x.png", "dog")
    run(copy, store, fake)
    report = datasets.forget_dataset(store, "copy")
    assert (report.dataset, report.files, report.images) == ("copy", 3, 1)
    assert len(list(copy.iterdir())) == 3
    pd.testing.assert_frame_equal(store.table(), table)
    assert len(list(store.path.glob("runs/*/masks/*/*.png"))) == 5
    prune.prune(store)
    assert len(list(store.path.glob("runs/*/masks/*/*.png"))) == 4
    assert not (store.path / "tmp").exists()
    with pytest.raises(UnknownName, match="no dataset 'copy'"):
        datasets.forget_dataset(store, "copy")
