"""Uploads that become datasets: whole or not at all, inside of their folder, and within bounds, whatever is sent."""

import io
import os
import random
import stat
import zipfile
from pathlib import Path

import pytest

from dashboard.offers import remembered_folders, uploaded_photos
from dashboard.offers.uploaded_photos import add, find_folders, is_uploaded, remove
from dashboard.settings import ServerSettings
from seglib.data.scan import find_image_folders
from seglib.errors import SegError, UsageError
from seglib.maintenance import prune
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def zipped(entries: dict[str, bytes], **more) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **more) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nothing_left(store: Path) -> bool:
    return not (store / "photos").exists() or list((store / "photos").iterdir()) == []


def test_a_zip_becomes_a_folder_named_after_it(store):
    sent = zipped(
        {"cats/1.jpg": b"one", "dogs/2.PNG": b"two", "notes.txt": b"x", "__MACOSX/._1.jpg": b"x", "cats/": b""}
    )
    added = add(store, "", [("My class.zip", sent)])
    assert added.folder == store / "photos" / "My class"
    assert (added.photos, added.skipped) == (2, 1)
    assert files_in(added.folder) == {"cats/1.jpg": b"one", "dogs/2.PNG": b"two"}
    assert find_folders(store) == [added.folder]
    assert is_uploaded(store, added.folder)


def test_photos_and_folders_are_named_by_the_visitor_or_what_was_sent(store):
    assert add(store, " class: 5/b ", [("a.jpg", io.BytesIO(b"x"))]).folder.name == "class_ 5_b"
    assert add(store, "", [("a.jpg", io.BytesIO(b"x"))]).folder.name == "photos"
    folder = add(store, "", [("trip/cats/a.jpg", io.BytesIO(b"x")), ("trip/b.jpg", io.BytesIO(b"y"))]).folder
    assert (folder.name, sorted(files_in(folder))) == ("trip", ["b.jpg", "cats/a.jpg"])
    flat = add(store, "", [("cats/a.jpg", io.BytesIO(b"x")), ("cats/b.jpg", io.BytesIO(b"y"))]).folder
    assert sorted(files_in(flat)) == ["cats/a.jpg", "cats/b.jpg"]  # the folder is their label


def test_a_name_that_is_taken_gets_a_number(store):
    names = [add(store, "class", [("a.jpg", io.BytesIO(b"x"))]).folder.name for _ in range(3)]
    assert names == ["class", "class-2", "class-3"]


def test_files_of_one_name_are_all_kept(store):
    sent = [("a.jpg", io.BytesIO(b"1")), ("A.JPG", io.BytesIO(b"2")), ("a.jpg", io.BytesIO(b"3"))]
    assert sorted(files_in(add(store, "", sent).folder).values()) == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../evil.jpg", "evil.jpg"),
        ("/etc/evil.jpg", "etc/evil.jpg"),
        ("C:\\windows\\evil.jpg", "C_/windows/evil.jpg"),
        ("..\\..\\evil.jpg", "evil.jpg"),
        ("a/./b/../evil.jpg", "a/b/evil.jpg"),
        (".. /evil.jpg", "_/evil.jpg"),
        ("a\nb\x1b[31m/e\u202evil.jpg", "a_b_[31m/e_vil.jpg"),
        ("<img src=x>.jpg", "_img src=x_.jpg"),
        ("x" * 400 + ".jpg", "x" * 150 + ".jpg"),
        ("\N{CAT FACE}" * 100 + ".jpg", "\N{CAT FACE}" * 37 + ".jpg"),
        ("a/" * 40 + "b.jpg", "a/" * 12 + "b.jpg"),
    ],
)
def test_every_name_stays_inside(store, name, kept):
    for sent in ([("z.zip", zipped({name: b"x"}))], [(name, io.BytesIO(b"x"))]):
        folder = add(store, "set", [*sent, ("other.jpg", io.BytesIO(b"y"))]).folder
        assert files_in(folder) == {kept: b"x", "other.jpg": b"y"}
        assert files_in(store.parent).keys() == {
            path.relative_to(store.parent).as_posix() for path in store.rglob("*") if path.is_file()
        }


@pytest.mark.parametrize("name", ["..", "...", "/", "store.json", ".", " "])
def test_a_dataset_cannot_be_called_like_a_way_out(store, name):
    folder = add(store, name, [("a.jpg", io.BytesIO(b"x"))]).folder
    assert folder.parent == store / "photos"
    assert not folder.name.startswith(".")
    assert find_folders(store) == [folder]


def test_links_hidden_files_and_nested_zips_are_not_unpacked(store):
    sent = zipped({"a.jpg": b"x", ".hidden/b.jpg": b"x", ".c.jpg": b"x", "more.zip": b"PK"})
    with zipfile.ZipFile(sent, "a") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    added = add(store, "", [("z.zip", sent)])
    assert files_in(added.folder) == {"a.jpg": b"x"}
    assert added.skipped == 2  # the link and the zip


def test_a_file_below_another_file_is_a_sentence(store):
    with pytest.raises(SegError, match="cannot be written"):
        add(store, "", [("a.jpg", io.BytesIO(b"x")), ("a.jpg/b.jpg", io.BytesIO(b"x"))])
    assert nothing_left(store)


def forged(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def forged_name(data: bytes) -> bytes:
    """The zip with an empty name in its table of contents."""
    changed, at = bytearray(data), data.index(b"PK\x01\x02")
    changed[at + 28 : at + 30] = bytes(2)
    return bytes(changed)


def test_what_cannot_be_unpacked_is_a_sentence_and_leaves_nothing(store):
    good = zipped({"a.jpg": b"abcdefgh" * 50}).getvalue()
    encrypted = bytearray(good)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[good.index(mark) + at] |= 1
    cases = {
        "no photos": zipped({"a.txt": b"x"}).getvalue(),
        "encrypted": bytes(encrypted),
        "no zip": b"hello",
        "damaged": forged(good, b"abcdefgh", b"abcdefgX"),  # fails its checksum
        "packed in an unusual way": zipped({"a.jpg": b"x" * 900}, compression=zipfile.ZIP_LZMA).getvalue(),
        "no photos|damaged": forged_name(good),
        "damaged|no zip": good[: len(good) // 2],
    }
    for sentence, data in cases.items():
        with pytest.raises(UsageError, match=sentence):
            add(store, "", [("z.zip", io.BytesIO(data))])
        assert nothing_left(store)
    with pytest.raises(UsageError, match="no photos"):
        add(store, "", [])


def test_sizes_are_counted_and_not_believed(store, monkeypatch):
    bomb = zipped({"a.jpg": bytes(10_000_000)}, compression=zipfile.ZIP_DEFLATED).getvalue()
    assert len(bomb) < 20_000
    monkeypatch.setattr(uploaded_photos, "UNCHECKED_BYTES", 0)
    with pytest.raises(UsageError, match="too large together"):
        add(store, "", [("z.zip", io.BytesIO(bomb))])
    monkeypatch.setattr(uploaded_photos, "MAX_PHOTO_BYTES", 1_000_000)
    with pytest.raises(UsageError, match=r"a\.jpg has more than 1 MB"):
        add(store, "", [("z.zip", io.BytesIO(bomb))])
    monkeypatch.setattr(uploaded_photos, "MAX_KEPT_BYTES", 10)
    with pytest.raises(UsageError, match="too large together"):
        add(store, "", [("a.jpg", io.BytesIO(b"x" * 11))])
    monkeypatch.setattr(uploaded_photos, "MIN_FREE_BYTES", 10**18)
    with pytest.raises(UsageError, match="too large together"):
        add(store, "", [("a.jpg", io.BytesIO(b"x"))])
    assert nothing_left(store)


def test_many_names_of_the_same_bytes_are_no_way_around(store, monkeypatch):
    """Entries that overlap: each name of the table of contents points to the same compressed bytes."""
    monkeypatch.setattr(uploaded_photos, "UNCHECKED_BYTES", 0)
    data = zipped({"a.jpg": bytes(40_000)}, compression=zipfile.ZIP_DEFLATED).getvalue()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry, tail = data[start:end], bytearray(data[end:])
    tail[8:12] = (200).to_bytes(2, "little") * 2
    tail[12:16] = (200 * len(entry)).to_bytes(4, "little")
    with pytest.raises(UsageError):
        add(store, "", [("z.zip", io.BytesIO(data[:start] + entry * 200 + bytes(tail)))])
    assert nothing_left(store)


def test_too_many_files_are_refused_before_they_are_listed(store, monkeypatch):
    sent = zipped({f"{number}.jpg": b"" for number in range(30)})
    monkeypatch.setattr(uploaded_photos, "MAX_PHOTOS", 20)
    with pytest.raises(UsageError, match="too many at once: at most 20"):
        add(store, "", [("z.zip", sent)])
    monkeypatch.setattr(uploaded_photos, "_MAX_DIRECTORY_BYTES", 100)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # not even opened
    with pytest.raises(UsageError, match="too many files"):
        add(store, "", [("z.zip", sent)])
    assert nothing_left(store)


def test_a_table_of_contents_of_64_bits_is_refused(store):
    data = bytearray(zipped({"a.jpg": b"x"}).getvalue())
    end = data.index(b"PK\x05\x06")
    data[end:end] = b"PK\x06\x07" + bytes(16)
    with pytest.raises(UsageError, match="too many files"):
        add(store, "", [("z.zip", io.BytesIO(bytes(data)))])


def test_damaged_zips_never_leave_anything_or_raise_anything_else(store):
    chance = random.Random(7)
    good = zipped({"cats/a.jpg": b"abc" * 40, "b.jpg": bytes(90)}, compression=zipfile.ZIP_DEFLATED).getvalue()
    for _ in range(400):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        try:
            added = add(store, "", [("z.zip", io.BytesIO(bytes(data)))])
        except SegError:
            assert nothing_left(store)
        else:
            assert added.folder.parent == store / "photos"
            remove(store, added.folder)
    assert nothing_left(store)
    assert {path.name for path in store.parent.iterdir()} == {"store"}


def test_what_the_dashboard_keeps_in_a_store_is_none_of_its_data(store, tmp_path):
    """Neither maintenance nor a scan of a folder around the store touches uploads, the demo or the list of folders."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jpg").write_bytes(b"x")
    fill_store(store / "demo", folder="sample")
    settings = ServerSettings(store=store, photo_folders=(), local_only=True)
    assert [name for name in find_image_folders(tmp_path) if name] == ["mine"]
    remembered_folders.add(settings, tmp_path / "mine")
    folder = add(store, "", [("a.jpg", io.BytesIO(b"x"))]).folder
    assert [name for name in find_image_folders(tmp_path) if name] == ["mine"]
    fill_store(store)
    prune.prune(Store(store))
    prune.remove_run(Store(store), Store(store).run().run)
    assert (find_folders(store), remembered_folders.find(settings)) == ([folder], (tmp_path / "mine",))
    assert len(Store(settings.demo.store).table()) == 6
    dataset = Store(store).register_dataset(folder)
    assert '"photos/photos"' in Store(store).dataset_record(dataset.id).read_text()  # moves with the store


def test_an_upload_can_be_deleted_and_nothing_else(store, tmp_path):
    folder = add(store, "", [("a.jpg", io.BytesIO(b"x"))]).folder
    (tmp_path / "mine").mkdir()
    (store / "photos" / "link").symlink_to(tmp_path / "mine")
    for other in (tmp_path / "mine", store, store / "photos", store / "photos" / "link"):
        assert other in (store / "photos" / "link",) or not is_uploaded(store, other)
        with pytest.raises(UsageError, match="not uploaded here"):
            remove(store, other)
    remove(store, folder)
    assert not folder.exists()
    assert (tmp_path / "mine").exists()


def test_nothing_is_written_through_a_link(store, tmp_path):
    add(store, "", [("a.jpg", io.BytesIO(b"x"))])
    (store / "photos").rename(tmp_path / "elsewhere")
    (store / "photos").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SegError, match="is a link"):
        add(store, "b", [("a.jpg", io.BytesIO(b"x"))])
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["photos"]


def test_what_a_killed_server_left_is_removed_a_day_later(store):
    add(store, "one", [("a.jpg", io.BytesIO(b"x"))])
    for name, age in (("new", 60), ("old", 100_000)):
        left = store / "photos" / f".incoming-{name}"
        left.mkdir()
        time = (store / "photos").stat().st_mtime - age
        os.utime(left, (time, time))
    add(store, "two", [("a.jpg", io.BytesIO(b"x"))])
    assert {path.name for path in (store / "photos").iterdir()} == {"one", "two", ".incoming-new"}
    assert {path.name for path in find_folders(store)} == {"one", "two"}
