"""Pictures in packs are the pictures that were single files, and any ZIP tool reads a pack."""

import hashlib
import os
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.fileio.atomic import AtomicWriter
from seglib.store.pictures import pack_file, packing
from seglib.store.pictures.pack_file import Pack, write_pack
from seglib.store.pictures.picture_folder import PictureFolder


@pytest.fixture
def atomic(tmp_path):
    return AtomicWriter(tmp_path)


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "masks").mkdir()
    return PictureFolder(tmp_path / "masks", ".png")


def ids_of(number, first=0):
    return [hashlib.sha256(str(first + index).encode()).hexdigest()[:32] for index in range(number)]


def data_of(image_id):
    return image_id.encode() * (int(image_id[0], 16) + 1)


def write_single(pictures, image_id, data=None):
    pictures.path(image_id).parent.mkdir(exist_ok=True)
    pictures.path(image_id).write_bytes(data_of(image_id) if data is None else data)


def pack_all(pictures, atomic):
    after = ""
    while moved := packing.pack_next(pictures, atomic, after):
        after = moved[-1].name
    packing.merge_small_packs(pictures, atomic)


def only_pack(pictures):
    (path,) = pack_file.list_packs(pictures.folder)
    return path


def test_packed_pictures_are_read_as_before(pictures, atomic, monkeypatch):
    monkeypatch.setattr(pack_file, "MAX_PICTURES", 40)
    ids = ids_of(100)
    for image_id in ids:
        write_single(pictures, image_id)
    pack_all(pictures, atomic)
    assert sorted(pack.pictures for pack in pictures.packs()) == [20, 40, 40]
    assert {path.suffix for path in pictures.folder.iterdir()} == {".zip"}, "the subfolders are gone too"
    for image_id in ids:
        assert pictures.read(image_id) == data_of(image_id)
        assert pictures.exists(image_id)
    assert len({pictures.version(image_id) for image_id in ids}) == 100
    unknown = ids_of(1, first=1000)[0]
    assert not pictures.exists(unknown)
    assert pictures.version(unknown) is None
    with pytest.raises(FileNotFoundError):
        pictures.read(unknown)


def test_a_pack_is_an_ordinary_zip_file(pictures, atomic):
    ids = sorted(ids_of(300))
    for image_id in ids:
        write_single(pictures, image_id)
    pack_all(pictures, atomic)
    with zipfile.ZipFile(only_pack(pictures)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{image_id}.png" for image_id in ids]
        assert all(archive.read(f"{image_id}.png") == data_of(image_id) for image_id in ids)


@given(st.sets(st.integers(0, 2**128 - 1), min_size=1, max_size=60), st.integers(0, 2**128 - 1))
def test_every_picture_is_found_however_unevenly_the_ids_are_spread(tmp_path_factory, numbers, other):
    folder = tmp_path_factory.mktemp("packs")
    names = sorted(f"{number:032x}.png" for number in numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_file, "_WINDOW", 4)
        pack = write_pack(AtomicWriter(folder), folder, [(name, name.encode()) for name in names])
        assert pack is not None
        assert [entry.name for entry in pack.entries()] == names
        assert all(pack.read(name) == name.encode() for name in names)
        found = pack.find(f"{other:032x}.png")
    assert (found is not None) == (other in numbers)


def test_a_single_file_counts_before_a_pack_and_a_newer_pack_before_an_older_one(pictures, atomic, monkeypatch):
    monkeypatch.setattr(packing, "merge_small_packs", lambda *_: None)
    (image_id,) = ids_of(1)
    for data in (b"first", b"second"):
        write_single(pictures, image_id, data)
        assert pictures.read(image_id) == data
        pack_all(pictures, atomic)
        assert pictures.read(image_id) == data
    assert len(pictures.packs()) == 2
    monkeypatch.undo()
    pack_all(pictures, atomic)
    assert [pack.pictures for pack in pictures.packs()] == [1], "what is superseded is dropped"
    assert pictures.read(image_id) == b"second"


def test_what_a_killed_call_left_is_deleted_and_not_packed_again(pictures, atomic):
    ids = ids_of(5)
    for image_id in ids:
        write_single(pictures, image_id)
    pack_all(pictures, atomic)
    before = only_pack(pictures)
    for image_id in ids[:2]:
        write_single(pictures, image_id)
    pack_all(pictures, atomic)
    assert only_pack(pictures) == before
    assert not list(pictures.single_files())


def test_small_packs_are_merged_as_far_as_they_fit_into_one(pictures, atomic, monkeypatch):
    monkeypatch.setattr(pack_file, "MAX_PICTURES", 10)
    for round_ in range(6):
        for image_id in ids_of(4, first=4 * round_):
            write_single(pictures, image_id)
        pack_all(pictures, atomic)
    assert sorted(pack.pictures for pack in pictures.packs()) == [8, 8, 8]
    assert all(pictures.read(image_id) == data_of(image_id) for image_id in ids_of(24))


def test_a_pack_that_is_replaced_while_it_is_read_is_looked_for_again(pictures, atomic):
    (image_id,) = ids_of(1)
    write_single(pictures, image_id)
    pack_all(pictures, atomic)
    os.utime(pictures.folder, (1, 1))  # long ago: the list of packs is kept
    assert pictures.read(image_id) == data_of(image_id)
    packing.rewrite_packs(pictures, atomic, pictures.packs())
    assert pictures.read(image_id) == data_of(image_id)


def test_a_flipped_bit_anywhere_harms_only_its_own_picture_or_is_seen(pictures, atomic):
    ids = ids_of(8)
    for image_id in ids:
        write_single(pictures, image_id, image_id.encode() * 4)
    pack_all(pictures, atomic)
    path = only_pack(pictures)
    whole = path.read_bytes()
    directory = Pack.open(path).directory
    for at in range(0, len(whole), 13):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        pack_file.open_pack.cache_clear()
        read = {image_id: try_to_read(pictures, image_id) for image_id in ids}
        assert set(read.items()) <= {(one, one.encode() * 4) for one in ids} | {(one, None) for one in ids}, at
        if at < directory:
            assert list(read.values()).count(None) <= 1


def try_to_read(pictures, image_id):
    try:
        return pictures.read(image_id)
    except OSError:
        return None


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_a_cut_pack_is_damaged_and_the_others_are_read(pictures, atomic, monkeypatch, keep):
    monkeypatch.setattr(pack_file, "MAX_PICTURES", 10)
    ids = sorted(ids_of(20))
    for image_id in ids:
        write_single(pictures, image_id)
    pack_all(pictures, atomic)
    newest, oldest = pack_file.list_packs(pictures.folder)
    size = newest.stat().st_size
    os.truncate(newest, int(size * keep) if isinstance(keep, float) else keep % size)
    pack_file.open_pack.cache_clear()
    assert pictures.damaged_packs() == [newest]
    assert [pack.path for pack in pictures.packs()] == [oldest]
    assert [try_to_read(pictures, one) for one in ids] == [data_of(one) for one in ids[:10]] + [None] * 10


def test_a_link_is_never_packed_nor_followed(pictures, atomic, tmp_path):
    inside, linked = ids_of(2)
    write_single(pictures, inside)
    (tmp_path / "secret").write_bytes(b"secret")
    pictures.path(linked).parent.mkdir(exist_ok=True)
    pictures.path(linked).symlink_to(tmp_path / "secret")
    pack_all(pictures, atomic)
    assert Pack.open(only_pack(pictures)).pictures == 1
    assert pictures.path(linked).is_symlink()
    (tmp_path / "linked").symlink_to(pictures.folder)
    assert not PictureFolder(tmp_path / "linked", ".png").packs()


def test_nothing_makes_no_pack(pictures, atomic):
    pack_all(pictures, atomic)
    assert list(pictures.folder.iterdir()) == []
    assert not list(PictureFolder(pictures.folder / "missing", ".png").single_files())
