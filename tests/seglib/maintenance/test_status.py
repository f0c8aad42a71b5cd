"""What has changed in a folder since it was scanned."""

from dataclasses import replace

from seglib.maintenance import status as maintenance_status
from tests.seglib.small_runs import run


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
