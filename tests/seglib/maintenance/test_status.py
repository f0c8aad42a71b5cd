"""What has changed in a folder since it was scanned."""

import os
import shutil
from dataclasses import replace

from seglib.data.left_out import LeftOut
from seglib.maintenance import status as maintenance_status
from seglib.pipeline.session import RunOptions
from tests.seglib.small_runs import INLINE, run


def test_how_a_folder_differs_from_its_scan(photos, store, fake):
    run(photos, store, fake)
    (dataset,) = store.datasets()
    same = maintenance_status.DatasetDrift(dataset=dataset.name, available=True, new=0, changed=0, vanished=0)
    assert maintenance_status.find_drift(store, dataset) == same
    (photos / "cats" / "a.png").unlink()
    (photos / "cats" / "new.png").write_bytes(b"x")
    (photos / "dogs" / "c.png").write_bytes((photos / "dogs" / "d.png").read_bytes())
    assert maintenance_status.find_drift(store, dataset) == replace(same, new=1, changed=1, vanished=1)
    photos.rename(photos.with_name("elsewhere"))
    assert maintenance_status.find_drift(store, dataset) == replace(same, available=False, exists=False, vanished=4)
    photos.mkdir()
    assert maintenance_status.find_drift(store, dataset) == replace(same, available=False, vanished=4)


def test_a_file_of_the_same_size_and_another_time_is_told_from_one_that_has_changed(photos, store, fake):
    run(photos, store, fake)
    os.utime(photos / "cats" / "a.png", ns=(1, 1))
    drift = maintenance_status.find_drift(store, store.datasets()[0])
    assert (drift.new, drift.changed, drift.touched, drift.vanished) == (0, 0, 1, 0)
    assert "(1 of the same size and another time): run again." in drift.sentence


def test_a_file_behind_a_followed_link_is_not_gone(photos, store, fake, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (photos / "dogs").rename(elsewhere)
    (photos / "dogs").symlink_to(elsewhere)
    run(photos, store, fake, RunOptions(workers=0, follow_links=True))
    assert len(store.table()) == 4
    assert maintenance_status.find_drift(store, store.datasets()[0]).vanished == 0
    (elsewhere / "c.png").unlink()
    assert maintenance_status.find_drift(store, store.datasets()[0]).vanished == 1


def test_what_differs_is_said_in_a_sentence_with_what_to_do(photos, store, fake):
    run(photos, store, fake)

    def sentence() -> str:
        (drift,) = maintenance_status.find_drifts(store)
        return drift.sentence

    assert sentence() == ""
    (photos / "cats" / "a.png").unlink()
    (photos / "cats" / "new.png").write_bytes(b"x")
    assert sentence() == "The folder of photos differs from its newest scan (1 new, 1 gone): run again."
    photos.rename(photos.with_name("elsewhere"))
    assert "The folder of photos is gone" in sentence()
    photos.mkdir()
    assert "holds no photos any more" in sentence()


def test_photos_in_several_datasets_are_counted(photos, store, fake, tmp_path):
    run(photos, store, fake)
    assert maintenance_status.read_status(store).shared_images == 0
    for name in ("copy", "another"):
        shutil.copytree(photos / "cats", tmp_path / name)
        run(tmp_path / name, store, fake)
        assert maintenance_status.read_status(store).shared_images == 2


def test_links_are_followed_where_the_scan_followed_them(photos, store, fake):
    (photos / "dogs").rename(photos.with_name("dogs"))
    (photos / "dogs").symlink_to(photos.with_name("dogs"))
    run(photos, store, fake, replace(INLINE, follow_links=True))
    (dataset,) = store.datasets()
    drift = maintenance_status.find_drift(store, dataset)
    assert (drift.new, drift.vanished) == (0, 0)


def test_what_the_newest_scan_left_out(photos, store, fake):
    (photos / "film.mp4").write_bytes(b"x")
    run(photos, store, fake)
    (found,) = maintenance_status.read_status(store).datasets
    assert found.left_out == LeftOut(kinds={".mp4": 1})
    (photos / "film.mp4").unlink()
    run(photos, store, fake)
    (found,) = maintenance_status.read_status(store).datasets
    assert found.left_out == LeftOut()
