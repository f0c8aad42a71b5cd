"""Pruning removes what no file or run needs, and a run that nobody adds to."""

import os
import time

import numpy as np
import pandas as pd
import pytest

from seglib.data.resize import Resize
from seglib.errors import StoreError, UnknownName
from seglib.fileio import parquet_parts
from seglib.fileio.process import host_and_boot
from seglib.maintenance import prune, verify
from seglib.maintenance import status as maintenance_status
from seglib.store.embeddings import vectors
from tests.seglib.small_runs import counts, run


def test_prune_removes_what_no_file_has_and_nothing_else(photos, store, fake):
    report = run(photos, store, fake)
    gone = store.table().set_index("path").loc["cats/a.png", "image_id"]
    (photos / "cats" / "a.png").unlink()
    run(photos, store, fake)
    table = store.table()
    cached = store.path / "cache" / "photos" / gone[:2] / f"{gone}.jpg"  # as the dashboard makes it
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert (
        maintenance_status.read_status(store).stale == 5
    )  # vanished, its older row, its statistics, its measures, its thumbnail
    assert prune.prune(store).stale == 5
    assert maintenance_status.read_status(store).stale == 0
    pd.testing.assert_frame_equal(store.table(), table)
    assert not store.mask_path(report.run, gone).exists()
    assert not store.thumbnail_path(gone).exists()
    assert cached.exists(), "the dashboard looks after its own cache"
    assert len(list(store.path.rglob("*.png"))) == 3
    assert counts(run(photos, store, fake)) == (3, 0, 3, 0)


def test_of_an_image_in_several_parts_of_embeddings_the_newest_row_stays(store):
    folder = store.path / "runs" / "x" / "embeddings"
    for ids, value in ((["a", "b", "gone"], 1.0), (["b", "c"], 2.0)):
        rows = vectors.make_table(ids, np.full((len(ids), 2), value, np.float16))
        parquet_parts.append(store.atomic, folder, rows)
    prune._remove_stale_embeddings(store, folder, {"a", "b", "c"})
    ids, kept = vectors.read_parts(folder, "global", "")
    assert dict(zip(ids.to_pylist(), kept[:, 0].tolist(), strict=True)) == {"a": 1, "b": 2, "c": 2}
    table = parquet_parts.read(folder, vectors.SCHEMA)
    assert sorted(table["image_id"].to_pylist()) == ["a", "b", "c"], "no row is there twice"


def test_prune_waits_for_a_run_that_writes(photos, store, fake):
    run(photos, store, fake)
    host, boot = host_and_boot()
    (store.path / "tmp" / f"{host}.{boot}.{os.getppid()}").mkdir(parents=True)
    with pytest.raises(StoreError, match="when the run is done"):
        prune.prune(store)


def test_removing_a_run_leaves_the_others_and_the_files_as_they_are(photos, store, fake):
    kept = run(photos, store, fake)
    table, files = store.table(), store.files(store.datasets()[0])
    gone = run(photos, store, fake, resize=Resize("32x48"))
    assert len(store.table()) == 2 * len(table)
    prune.remove_run(store, gone.run)
    assert [r.run for r in store.runs()] == [kept.run]
    pd.testing.assert_frame_equal(store.table(), table)
    pd.testing.assert_frame_equal(store.files(store.datasets()[0]), files)
    assert verify.damaged_masks(store, store.run()) == set()
    assert not (store.path / "tmp").exists()
    assert run(photos, store, fake, resize=Resize("32x48")).computed == gone.computed


def test_a_run_that_is_not_there_or_damaged(photos, store, fake):
    report = run(photos, store, fake)
    for name in ("", "..", "x", "../datasets"):
        with pytest.raises(UnknownName, match="There is no run"):
            prune.remove_run(store, name)
    (store.path / "runs" / report.run / "run.json").write_text("{")
    prune.remove_run(store, report.run)
    assert store.runs() == []


def test_a_run_that_somebody_adds_to_is_not_removed(photos, store, fake):
    report = run(photos, store, fake)
    host, boot = host_and_boot()
    at_work = store.path / "tmp" / f"{host}.{boot}.{os.getppid()}"
    at_work.mkdir(parents=True)
    (at_work / "run.another-1").touch()
    other = run(photos, store, fake, resize=Resize("32x48"))
    prune.remove_run(store, other.run)  # it adds to another one
    (at_work / f"run.{report.run}").touch()
    with pytest.raises(StoreError, match="is adding to the run"):
        prune.remove_run(store, report.run)
    at_work = at_work.rename(at_work.with_name(f"{host}.{'0' * 8}.1"))  # of an earlier boot, or of another machine
    with pytest.raises(StoreError, match="is adding to the run"):
        prune.remove_run(store, report.run)
    for path in (*at_work.iterdir(), at_work):
        os.utime(path, (time.time() - 61,) * 2)  # nobody is there any more
    prune.remove_run(store, report.run)
    assert store.runs() == []


def test_prune_removes_thumbnails_that_no_run_shows(photos, store, fake):
    report = run(photos, store, fake)
    prune.remove_run(store, report.run)
    assert len(list(store.path.glob("thumbs/*/*.jpg"))) == maintenance_status.read_status(store).stale_thumbnails == 4
    prune.prune(store)
    assert not list(store.path.glob("thumbs/*/*.jpg"))
    run(photos, store, fake)
    assert len(list(store.path.glob("thumbs/*/*.jpg"))) == 4
