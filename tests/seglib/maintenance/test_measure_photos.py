"""Measures of photos: kept by a run, read later for photos of older stores, looked after like all else."""

import json
import shutil

import pytest
from PIL import Image

from seglib.cli.main import main
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.errors import DamagedFileError
from seglib.fileio import parquet_parts
from seglib.maintenance import compact, prune, verify
from seglib.maintenance.measure_photos import measure_photos
from seglib.maintenance.status import read_status
from seglib.query.filters import Filters, select
from seglib.store.photo_measures import rows
from seglib.store.store import Store
from tests.seglib.data.photo_measures.test_exif import FULL
from tests.seglib.small_runs import INLINE, counts, run

EXIF_COLUMNS = ["column:taken", "column:camera", "column:focal_length", "column:latitude", "column:longitude"]


@pytest.fixture
def photos(photos):
    Image.new("RGB", (64, 48), (10, 10, 10)).save(photos / "cats" / "dark.jpg", exif=FULL)
    return photos


def names(folder) -> list[str]:
    return parquet_parts.list_parts(folder)


def test_a_run_measures_each_photo_once(photos, store, fake):
    report = run(photos, store, fake)
    table = store.table()
    assert counts(report) == (5, 5, 0, 0)
    assert table["column:brightness"].notna().all()
    dark = select(table, Filters.decode("column.highlights=..<0.32"))
    assert dark["path"].tolist() == ["cats/dark.jpg", "dogs/d.png"]
    assert dark[EXIF_COLUMNS[1:]].head(1).to_numpy().tolist() == [["Canon EOS 5D", 50.0, -33.86, 151.21]]
    parts = names(store.photo_measures_folder())
    run(photos, store, fake, resize="40")  # decodes every photo, none of which has to be measured
    assert names(store.photo_measures_folder()) == parts
    assert store.table([report.run]).drop(columns="run").equals(table.drop(columns="run"))


def test_photos_of_an_older_store_are_measured_by_the_next_run_that_decodes_them(photos, store, fake):
    run(photos, store, fake)
    shutil.rmtree(store.photo_measures_folder())
    assert "column:brightness" not in store.table()
    run(photos, store, fake)  # nothing to decode
    assert "column:brightness" not in store.table()
    run(photos, store, fake, resize="40")
    assert store.table()["column:brightness"].notna().all()


def test_measuring_later_gives_the_columns_of_a_run_and_then_has_nothing_to_do(photos, store, fake):
    run(photos, store, fake)
    expected = store.table()
    shutil.rmtree(store.photo_measures_folder())
    assert read_status(store).measures.pending == 5
    report = measure_photos(store, workers=0)
    assert (report.images, report.measured, report.known, report.failed) == (5, 5, 0, 0)
    assert store.table().equals(expected)
    assert measure_photos(store, workers=0).measured == 0
    assert read_status(store).measures.pending == 0


def test_a_photo_that_has_changed_or_is_gone_is_not_measured(photos, store, fake):
    run(photos, store, fake)
    shutil.rmtree(store.photo_measures_folder())
    (photos / "dogs" / "d.png").unlink()
    shutil.copy(photos / "cats" / "b.png", photos / "cats" / "a.png")
    report = measure_photos(store, workers=0)
    assert (report.measured, report.failed) == (3, 2)


def test_positions_follow_what_was_asked_for_last(photos, store, fake):
    run(photos, store, fake, options=INLINE)
    exact = measure_photos(store, gps=GpsPrecision.EXACT, workers=0)
    assert (exact.measured, exact.coarsened) == (5, 0)
    assert store.table()["column:latitude"].dropna().tolist() == [-33.857]
    off = measure_photos(store, gps=GpsPrecision.OFF, workers=0)
    assert (off.measured, off.coarsened) == (0, 5)
    assert "column:latitude" not in store.table()
    Image.new("RGB", (64, 48), (20, 20, 20)).save(photos / "cats" / "new.jpg", exif=FULL)
    run(photos, store, fake)
    assert "column:latitude" not in store.table(), "a later run keeps positions as the last time"
    assert store.table()["column:camera"].notna().sum() == 2


def test_measures_of_photos_that_are_gone_are_pruned(photos, store, fake):
    run(photos, store, fake)
    (photos / "cats" / "dark.jpg").unlink()
    run(photos, store, fake)
    before = prune.prune(store)
    assert before.measures.stale_rows == 1
    assert read_status(store).stale == 0
    assert "column:camera" not in store.table()
    assert len(rows.read_hashes(store)) == 4


def test_parts_are_merged_and_a_copied_store_takes_them_along(photos, store, fake, tmp_path):
    run(photos, store, fake)
    Image.new("RGB", (64, 48), (20, 20, 20)).save(photos / "cats" / "new.jpg", exif=FULL)
    run(photos, store, fake)
    compact.merge_parts(store)
    assert len(names(store.photo_measures_folder())) == 1
    shutil.copytree(store.path, tmp_path / "copy")
    assert Store(tmp_path / "copy").table().equals(store.table())


def test_damage_is_found_said_and_repaired(photos, store, fake):
    run(photos, store, fake)
    expected = store.table()
    (part,) = store.photo_measures_folder().iterdir()
    part.write_bytes(part.read_bytes()[:-9] + b"x" * 9)
    (damaged,) = verify.find_damaged_files(store)
    assert damaged.file == part.relative_to(store.path).as_posix()
    assert "measure the photos again" in damaged.sentence
    with pytest.raises(DamagedFileError, match="measure the photos again"):
        store.table()
    run(photos, store, fake, options=type(INLINE)(workers=0, verify=True))
    assert store.table().equals(expected)


def test_the_command_measures_and_says_how_much(photos, store, fake, capsys):
    run(photos, store, fake)
    shutil.rmtree(store.photo_measures_folder())
    command = ["columns", "measure", "--store", str(store.path), "--workers", "0"]
    assert main(command) == 0
    assert capsys.readouterr().out == "5 photos: 5 measured, 0 before, 0 failed\n"
    assert main([*command, "--gps", "off", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {"images": 5, "measured": 0, "known": 5, "failed": 0, "coarsened": 5, "gps": "off"}
    for path in photos.rglob("*.*"):
        path.unlink()
    shutil.rmtree(store.photo_measures_folder())
    assert main(command) == 1
    assert "5 photos cannot be read" in capsys.readouterr().err


def test_a_wrong_precision_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main(["run", "photos", "--gps", "coarse"])
    assert "exact" in capsys.readouterr().err
