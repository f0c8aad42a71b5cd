"""A photo's file is found where it is unchanged, and inside of its folder alone."""

import os

import pyarrow as pa

from dashboard.server import photo_files
from seglib.fileio import parquet_parts
from seglib.store.schemas import FILES_SCHEMA
from seglib.store.store import Store
from tests.dashboard.conftest import photo_of
from tests.dashboard.server.conftest import PHOTO, REAL, place


def test_a_photo_that_changed_or_went_is_never_shown(photos, real):
    assert photos.get(PHOTO).status_code == 200
    place(real).write_bytes(photo_of("another"))
    assert photos.get(PHOTO).status_code == 404  # though the old one is still in memory and on disk
    assert photo_files.find(Store(real), REAL).reason == photo_files.CHANGED
    place(real).unlink()
    assert photos.get(PHOTO).status_code == 404
    assert photo_files.find(Store(real), REAL).reason == photo_files.GONE


def test_a_photo_whose_content_alone_changed_is_not_shown(photos, real):
    before = place(real).stat()
    place(real).write_bytes(bytes(before.st_size))
    os.utime(place(real), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert photos.get(PHOTO).status_code == 404


def test_a_copied_photo_has_another_time_and_is_shown(photos, real):
    os.utime(place(real), ns=(1, 1))
    assert photo_files.find(Store(real), REAL).path == place(real).resolve()
    assert photos.get(PHOTO).status_code == 200
    size = place(real).stat().st_size
    place(real).write_bytes(bytes(size))
    assert photo_files.find(Store(real), REAL).reason == photo_files.CHANGED


def test_a_link_out_of_the_folder_is_not_followed(photos, real, tmp_path):
    outside = tmp_path / "outside.jpg"
    os.replace(place(real), outside)
    place(real).symlink_to(outside)
    assert photos.get(PHOTO).status_code == 404
    assert photo_files.find(Store(real), REAL).reason == photo_files.OUTSIDE


def test_of_equal_files_one_that_is_there_is_taken(photos, real):
    store = Store(real)
    (data_set,) = store.datasets()
    copy = place(real, "dogs/copy.jpg")
    copy.write_bytes(photo_of("cats/a.jpg"))
    row = {"path": "dogs/copy.jpg", "bytes": copy.stat().st_size, "mtime_ns": copy.stat().st_mtime_ns, "scan": 2}
    table = pa.Table.from_pylist([{name: row.get(name) for name in FILES_SCHEMA.names} | {"image_id": REAL}])
    parquet_parts.append(store.atomic, store.files_folder(data_set), table.cast(FILES_SCHEMA))
    place(real).unlink()
    assert photo_files.find(store, REAL).path == copy.resolve()
    assert photos.get(PHOTO).status_code == 200


def test_an_unknown_picture_has_no_file(real):
    assert photo_files.find(Store(real), "0" * 32).reason == photo_files.UNKNOWN
