"""Every command gives the same from a packed store."""

import json
import os
import shutil

import pandas as pd
import pytest

from seglib.cli import main
from seglib.data.resize import Resize
from seglib.errors import StoreError
from seglib.evaluation import comparison
from seglib.fileio.process import host_and_boot
from seglib.maintenance import compact, prune, verify
from seglib.maintenance import status as maintenance_status
from seglib.maintenance.disk_use import measure_run
from seglib.pipeline.session import RunOptions
from seglib.query import export
from seglib.query.filters import Filters
from seglib.similarity import hashes
from seglib.store.pictures import pack_file
from seglib.store.store import Store
from tests.seglib.small_runs import counts, run

VERIFY = RunOptions(workers=0, verify=True)


@pytest.fixture
def ran(photos, store, fake):
    return run(photos, store, fake).run


def pack(store):
    return compact.pack_pictures(store)


def pack_of(pictures):
    (path,) = pack_file.list_packs(pictures.folder)
    return path


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    pack_file.open_pack.cache_clear()


def test_all_that_reads_masks_gives_the_same_before_and_after(photos, store, fake, ran):
    other = run(photos, store, fake, resize=Resize("32x48")).run

    def read_all():
        table = store.table()
        masks = {row.image_id + row.run: store.mask(row.run, row.image_id).tolist() for row in table.itertuples()}
        files = dict(export.mask_files(store, None, Filters()))
        comparison.update_counts(store, [ran, other])
        return masks, files, comparison.load_comparison(store, [ran, other]).flips(ran, other).to_dict()

    before = read_all()
    shutil.rmtree(store.path / "compare")
    hashed = hashes.read_hashes(store, store.table()["image_id"])
    images = store.table()["image_id"].nunique()
    assert pack(store) == {ran: images, other: images, compact.THUMBNAILS: images}
    assert not [*store.path.rglob("*.png"), *store.path.glob("thumbs/**/*.jpg")]
    assert read_all() == before
    pd.testing.assert_series_equal(hashes.read_hashes(store, store.table()["image_id"]), hashed)
    assert maintenance_status.read_status(store).single_masks == 0
    use = measure_run(store, ran, max_masks=1)
    assert (use.bytes, use.exact) == (maintenance_status.run_size_bytes(store, ran), True)
    assert not list(verify.find_damaged_files(store))
    assert counts(run(photos, store, fake))[1] == 0, "nothing to compute"
    assert pack(store) == {ran: 0, other: 0, compact.THUMBNAILS: 0}


def test_a_later_run_adds_single_files_until_the_next_pack(photos, store, fake, ran):
    pack(store)
    photo = (photos / "cats" / "a.png").read_bytes()
    (photos / "cats" / "new.png").write_bytes(photo[:-1] + b"!")  # other bytes, the same picture
    assert counts(run(photos, store, fake))[1] == 1
    assert len(list(store.masks(ran).single_files())) == 1
    assert pack(store) == {ran: 1, compact.THUMBNAILS: 1}
    assert pack_of(store.masks(ran)), "one pack again"
    assert not list(verify.find_damaged_files(store))


def test_a_packed_store_is_refused_by_programs_that_know_no_packs(store, ran, monkeypatch):
    assert json.loads((store.path / "store.json").read_text()) == {"schema": 1}
    pack(store)
    assert json.loads((store.path / "store.json").read_text()) == {"schema": 2}
    assert Store(store.path).mask(ran, store.table()["image_id"].iloc[0]).ndim == 2
    monkeypatch.setattr("seglib.store.records.PACKED_LAYOUT", 1)
    with pytest.raises(StoreError, match="has layout 2, and this program knows up to 1: upgrade the program"):
        Store(store.path)


def test_an_empty_store_stays_as_it_is(store):
    assert pack(store) == {compact.THUMBNAILS: 0}
    assert json.loads((store.path / "store.json").read_text()) == {"schema": 1}


def test_nothing_is_packed_while_a_run_writes(store, ran):
    host, boot = host_and_boot()
    (store.path / "tmp" / f"{host}.{boot}.{os.getppid()}").mkdir(parents=True)
    with pytest.raises(StoreError, match="pack it when the run is done"):
        pack(store)
    assert not pack_file.list_packs(store.masks(ran).folder)


def test_a_damaged_picture_in_a_pack_is_named_and_made_again(photos, store, fake, ran):
    image_id = store.table()["image_id"].iloc[0]
    expected = store.masks(ran).read(image_id)
    pack(store)
    path = pack_of(store.masks(ran))
    flip(path, pack_file.Pack.open(path).find(f"{image_id}.png").offset + 80)
    (found,) = verify.find_damaged_files(store)
    name = path.relative_to(store.path).as_posix()
    assert (found.kind, found.file, found.image_id) == ("mask", name, image_id)
    assert found.sentence.startswith(f"{image_id}.png in {name} is missing, damaged,")
    with pytest.raises(StoreError, match="missing or damaged"):
        store.mask(ran, image_id)
    assert counts(run(photos, store, fake, VERIFY))[1] == 1
    assert store.masks(ran).read(image_id) == expected
    pack(store)
    assert not list(verify.find_damaged_files(store))
    assert pack_file.Pack.open(pack_of(store.masks(ran)))


def test_a_cut_pack_is_one_line_and_its_pictures_are_made_again(photos, store, fake, ran):
    images = store.table()["image_id"].nunique()
    pack(store)
    for pictures in (store.masks(ran), store.thumbnails()):
        os.truncate(pack_of(pictures), 100)
    pack_file.open_pack.cache_clear()
    found = list(verify.find_damaged_files(store))
    assert [file.kind for file in found] == ["pack", "pack"]
    assert "none of its pictures can be read: run again with `verify`" in found[0].sentence
    notes = []
    report = run(photos, store, fake, VERIFY, on_note=notes.append)
    assert counts(report)[1] == images
    assert sum("was damaged and is removed" in note for note in notes) == 2
    assert not list(verify.find_damaged_files(store))


def test_prune_writes_a_pack_again_once_more_than_half_of_it_is_stale(photos, store, fake, ran):
    pack(store)
    files = store.table().drop_duplicates("image_id")["path"].tolist()
    gone = []
    for path in files[:-1]:
        gone += store.table().set_index("path").loc[[path], "image_id"].tolist()
        (photos / path).unlink()
        for copy in store.table().query("image_id == @gone[-1] and path != @path")["path"]:
            (photos / copy).unlink()
    run(photos, store, fake)
    assert maintenance_status.read_status(store).stale > 0
    prune.prune(store)
    for pictures in (store.masks(ran), store.thumbnails()):
        assert pack_file.Pack.open(pack_of(pictures)).pictures == 1
        assert not any(pictures.exists(image_id) for image_id in gone)
    assert maintenance_status.read_status(store).stale == 0
    assert not list(verify.find_damaged_files(store))


def test_prune_keeps_a_pack_that_is_mostly_current_and_says_so(photos, store, fake, ran, capsys):
    pack(store)
    before = pack_of(store.masks(ran))
    gone = store.table().set_index("path").loc["cats/a.png", "image_id"]
    (photos / "cats" / "a.png").unlink()
    run(photos, store, fake)
    assert main.main(["prune", "--store", str(store.path)]) == 0
    assert "2 pictures of photos that are gone stay, in packs" in capsys.readouterr().out  # its mask and its thumbnail
    assert pack_of(store.masks(ran)) == before
    assert store.masks(ran).exists(gone)
    assert maintenance_status.read_status(store).stale == 0
    assert prune.prune(store).left_in_packs == 2


def test_the_command_says_what_it_packed(store, ran, capsys):
    assert main.main(["pack", "--store", str(store.path), "--run", ran, "--json"]) == 0
    packed = json.loads(capsys.readouterr().out)["packed"]
    assert packed == {ran: store.table()["image_id"].nunique()}
    assert main.main(["pack", "--store", str(store.path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{ran}: 0 masks packed",
        f"thumbnails: {packed[ran]} thumbnails packed",
    ]
    assert main.main(["pack", "--store", str(store.path), "--run", "other"]) == 2


def test_status_recommends_packing_from_a_million_masks_on(store, ran, capsys, monkeypatch):
    monkeypatch.setattr("seglib.cli.store.PACK_FROM", 2)
    assert main.main(["status", "--store", str(store.path)]) == 0
    assert f"files of their own: python -m seglib pack --store {store.path} packs them" in capsys.readouterr().out
    pack(store)
    assert main.main(["status", "--store", str(store.path)]) == 0
    assert "seglib pack" not in capsys.readouterr().out
