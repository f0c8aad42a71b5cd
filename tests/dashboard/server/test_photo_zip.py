"""A zip holds the photos as they are, says what it leaves out, and is never whole in memory."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
from PIL import Image

from dashboard.server import photo_zip
from dashboard.server.photo_files import ScannedFile
from dashboard.server.photo_zip import LEFT_OUT, ZipPhoto
from seglib.data.image import compute_image_id
from tests.dashboard.conftest import NASTY, PIXELS, fill_store, photo_of, real_id
from tests.dashboard.server.conftest import RUN, place

NASTY_FILE = NASTY.replace("//", "/")
ALL = f"/media-api/photos.zip?run={RUN}&where="


@pytest.fixture
def local(monkeypatch):
    monkeypatch.setenv("SEGLIB_DASHBOARD_LOCAL", "1")


def opened(answer) -> zipfile.ZipFile:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert not any(entry.flag_bits & 8 for entry in archive.infolist())  # sizes come before each entry
    return archive


def test_the_files_themselves_below_their_dataset(photos, real, local):
    answer = photos.get(f"{ALL}{quote('label=cats&label=others')}&name=My photos")
    archive = opened(answer)
    names = [path for path in PIXELS if not path.startswith("dogs")]
    assert sorted(archive.namelist()) == sorted(f"photos/{name.replace('//', '/')}" for name in names)
    for name in names:
        assert archive.read(f"photos/{name.replace('//', '/')}") == photo_of(name)
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''my-photos.zip"
    assert answer.headers["cache-control"] == "no-store"
    head = photos.head(f"{ALL}label=cats")
    assert (head.headers["content-type"], head.content) == ("application/zip", b"")


def test_other_machines_get_what_the_pages_show(photos, real):
    archive = opened(photos.get(f"{ALL}path=a.jpg"))
    shown = archive.read("photos/cats/a.jpg")
    assert shown == photos.get(f"/media-api/photo/{real_id('cats/a.jpg')}.jpg").content
    assert shown != photo_of("cats/a.jpg")
    assert not Image.open(io.BytesIO(shown)).getexif()


def test_what_is_gone_changed_or_unreadable_is_left_out_and_said(photos, real, local):
    place(real, "cats/a.jpg").unlink()
    place(real, "cats/b.jpg").write_bytes(photo_of("another"))
    status = place(real, "cats/c.jpg").stat()
    place(real, "cats/c.jpg").write_bytes(bytes(status.st_size))  # same size and time
    os.utime(place(real, "cats/c.jpg"), ns=(status.st_atime_ns, status.st_mtime_ns))
    outside = real.parent / "outside.jpg"
    os.replace(place(real, "dogs/d.jpg"), outside)
    place(real, "dogs/d.jpg").symlink_to(outside)
    archive = opened(photos.get(ALL))
    assert sorted(archive.namelist()) == sorted(["photos/dogs/e.jpg", f"photos/{NASTY_FILE}", LEFT_OUT])
    assert archive.read(LEFT_OUT).decode().splitlines() == [
        "4 not in this zip:",
        "photos/cats/a.jpg: The file is no longer where it was scanned.",
        "photos/cats/b.jpg: The file has changed since its scan.",
        "photos/cats/c.jpg: The file has changed since its scan.",
        "photos/dogs/d.jpg: The file is a link that leaves its dataset's folder.",
    ]


def test_picked_photos_are_found_by_a_key(photos, real, local):
    key = photo_zip.remember_ids(pa.array([real_id("cats/a.jpg"), real_id("dogs/d.jpg")]))
    archive = opened(photos.get(f"/media-api/photos.zip?picked={key}&name=x"))
    assert sorted(archive.namelist()) == ["photos/cats/a.jpg", "photos/dogs/d.jpg"]
    answer = photos.get(f"/media-api/photos.zip?picked={'0' * 32}")
    assert answer.status_code == 410
    assert "reload the page" in answer.text


@pytest.mark.parametrize(
    "query", ["run=nobody", f"run={RUN}&where=nothing=1", f"run={RUN}&where=share.x=0..1", f"run={RUN}&path=/etc", ""]
)
def test_nothing_else_is_sent(photos, real, query):
    answer = photos.get(f"/media-api/photos.zip?{query}")
    assert (answer.status_code, answer.text) == (404, "not found")
    assert photo_zip.slots._value == photo_zip.MAX_PARALLEL


def test_too_many_photos_or_downloads_are_refused(photos, real, monkeypatch):
    for name, most in (("MAX_PHOTOS", 5), ("MAX_BYTES", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(photo_zip, name, most)
            assert photos.get(ALL).status_code == 413
    for _ in range(photo_zip.MAX_PARALLEL):
        photo_zip.slots.acquire()
    assert photos.get(ALL).status_code == 503
    for _ in range(photo_zip.MAX_PARALLEL):
        photo_zip.slots.release()
    assert photo_zip.slots._value == photo_zip.MAX_PARALLEL


def test_photos_of_one_name_have_different_names(tmp_path):
    def photo(dataset: str, path: str) -> ZipPhoto:
        file = tmp_path / dataset / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
        scanned = ScannedFile(tmp_path / dataset, path, len(path), file.stat().st_mtime_ns, compute_image_id(b""))
        return ZipPhoto(dataset, scanned)

    files = [photo("a b", "x.jpg"), photo("a_b", "x.jpg"), photo("a_b", "X.JPG"), photo("a_b", "x (2).jpg")]
    data = b"".join(photo_zip.stream_zip(files, lambda file, _: file.path.read_bytes(), tmp_path))
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.namelist() == ["a_b/x.jpg", "a_b/x (2).jpg", "a_b/X (3).JPG", "a_b/x (2) (2).jpg"]
    data = b"".join(photo_zip.stream_zip(files[:1], lambda *_: b"jpeg", tmp_path, suffix=".jpg"))
    assert zipfile.ZipFile(io.BytesIO(data)).read("a_b/x.jpg") == b"jpeg"


@pytest.mark.parametrize(("mtime_ns", "year"), [(0, 1980), (10**30, 1980), (10**9 * 86400 * 365 * 200, 2107)])
def test_a_time_that_no_zip_can_hold(mtime_ns, year):
    assert photo_zip._date(mtime_ns)[0] == year


def test_memory_holds_one_photo_at_a_time(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    one = ZipPhoto("photos", ScannedFile(tmp_path, "x.jpg", 1, (tmp_path / "x.jpg").stat().st_mtime_ns, ""))
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in photo_zip.stream_zip([one] * 40, lambda *_: bytes(2_000_000), tmp_path)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 80_000_000
    assert max(sizes) <= 1 << 20
    assert peak < 12_000_000


def test_two_datasets_lie_beside_each_other(photos, real, local):
    fill_store(real, folder="more", pixels={"cats/a.jpg": PIXELS["cats/a.jpg"]}, real=True)
    archive = opened(photos.get(f"{ALL}path=a.jpg"))
    assert sorted(archive.namelist()) == ["more/cats/a.jpg", "photos/cats/a.jpg"]
    assert Path(archive.namelist()[0]).name == "a.jpg"
