"""What has changed in a folder since it was scanned."""

from dataclasses import replace

from seglib.data.left_out import LeftOut
from seglib.maintenance import status as maintenance_status
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
    assert maintenance_status.find_drift(store, dataset) == replace(same, available=False, vanished=4)


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
