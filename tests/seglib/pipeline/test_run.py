"""Whole runs with the fake net: what is computed, reused, failed; what the store holds then."""

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import seglib
from seglib.data import decode_pool
from seglib.data.image import compute_image_id
from seglib.data.left_out import LeftOut
from seglib.data.resize import Resize
from seglib.errors import BadImage, DatasetError, Terminated, WeightsError
from seglib.inference import config, predictor, thread_pool
from seglib.maintenance import status as maintenance_status
from seglib.maintenance import verify
from seglib.pipeline.session import RunOptions
from seglib.store import writer
from seglib.store.store import Store
from tests.seglib.small_runs import counts, run


def test_the_table_says_what_each_photo_shows(photos, store, fake):
    assert counts(run(photos, store, fake)) == (4, 4, 0, 0)
    table = store.table().set_index("path")
    assert table.loc["cats/a.png", ["px:background", "px:cat", "px:dog", "px:person"]].tolist() == [1536, 1536, 0, 0]
    assert table.loc["dogs/c.png", "px:dog"] == 64 * 24
    assert table["label"].tolist() == ["cats", "cats", "dogs", "dogs"]
    assert table["animal"].tolist() == ["cat", "cat", "dog", "none"]
    assert table["dominant"].tolist() == ["cat", "cat", "dog", "background"]
    assert (table[[c for c in table if c.startswith("px:")]].sum(axis=1) == 64 * 48).all()


def test_columns_and_types_are_the_contract(photos, store, fake):
    run(photos, store, fake)
    table = store.table()
    classes = ["background", "cat", "dog", "person"]
    assert list(table.columns) == [
        *("dataset", "path", "split", "label", "width", "height", "image_id", "run", "model"),
        *("grid_width", "grid_height", *(f"px:{c}" for c in classes), *(f"blobs:{c}" for c in classes)),
        *("confidence", "entropy", "low_margin", "dominant", "animal", "content", "label_class", "tags"),
        *("column:brightness", "column:contrast", "column:highlights", "column:shadows", "column:sharpness"),
        *("column:image_entropy", "column:aspect", "column:file_size"),
    ]
    types = table.dtypes.astype(str)
    assert set(types[[f"px:{c}" for c in classes]]) == {"int32"}
    assert set(types[[f"blobs:{c}" for c in classes]]) == {"uint16"}
    assert set(types[["confidence", "entropy", "low_margin"]]) == {"float32"}
    assert set(types[["split", "label", "run", "model", "dominant", "animal", "content", "label_class"]]) == {
        "category"
    }


def test_the_store_is_plain_files_of_the_agreed_layout(photos, store, fake):
    report = run(photos, store, fake)
    root = store.path
    image_id = store.table()["image_id"].iloc[0]
    assert json.loads((root / "store.json").read_text()) == {"schema": 1}
    dataset = json.loads(next(root.glob("datasets/*/dataset.json")).read_text())
    assert dataset | {"root": "../photos", "name": "photos"} == dataset
    assert len(list(root.glob("datasets/*/files/part-*.parquet"))) == 1
    assert len(list((root / "runs" / report.run / "stats").glob("part-*.parquet"))) == 1
    with Image.open(root / "runs" / report.run / "masks" / image_id[:2] / f"{image_id}.png") as mask:
        assert (mask.mode, mask.size) == ("P", (64, 48))
        assert np.bincount(np.array(mask).ravel(), minlength=4).tolist() == [1536, 1536, 0, 0]
    with Image.open(root / "thumbs" / image_id[:2] / f"{image_id}.jpg") as thumb:
        assert thumb.format == "JPEG"
    about = json.loads((root / "runs" / report.run / "run.json").read_text())
    assert (about["model"], about["precision"], about["classes"]) == ("fake", "fp32", list(fake.classes))
    assert [i["computed"] for i in about["invocations"]] == [4]
    absolute = [p.name for p in root.rglob("*") if p.is_file() and str(photos).encode() in p.read_bytes()]
    assert absolute == [], "the store lies beside its photos"
    assert not (root / "tmp").exists()
    assert not (root / "lock").exists()


def test_a_second_run_computes_nothing_and_opens_no_file(photos, store, fake, monkeypatch):
    first = run(photos, store, fake)
    before = store.version()
    monkeypatch.setattr("seglib.data.decode_pool.read_image", pytest.fail)
    monkeypatch.setattr("seglib.inference.predictor.predict_batch", pytest.fail)
    again = run(photos, store, fake)
    assert counts(again) == (4, 0, 4, 0)
    assert again.run == first.run
    assert store.version() == before


def test_renamed_copied_and_changed_files(photos, store, fake):
    run(photos, store, fake)
    (photos / "cats" / "a.png").rename(photos / "cats" / "renamed.png")
    shutil.copy(photos / "cats" / "b.png", photos / "dogs" / "copy.png")
    Image.new("RGB", (64, 48), (255, 0, 0)).save(photos / "dogs" / "c.png")
    report = run(photos, store, fake)
    assert counts(report) == (5, 1, 4, 0)
    assert report.vanished == 1
    table = store.table().set_index("path")
    assert list(table.index) == ["cats/b.png", "cats/renamed.png", "dogs/c.png", "dogs/copy.png", "dogs/d.png"]
    assert table.loc["dogs/c.png", "animal"] == "cat"
    assert table.loc["dogs/copy.png", "image_id"] == table.loc["cats/b.png", "image_id"]
    assert table.loc["cats/renamed.png", "px:cat"] == 1536
    status = maintenance_status.read_status(store)
    assert (status.datasets[0].files, status.datasets[0].vanished, status.runs[0].stale_rows) == (5, 1, 1)


def test_equal_files_in_one_run_are_two_rows_and_one_forward_pass(photos, store, fake):
    shutil.copy(photos / "cats" / "a.png", photos / "dogs" / "copy.png")
    assert counts(run(photos, store, fake)) == (5, 4, 1, 0)
    assert len(store.table()) == 5


def test_a_second_run_of_another_recipe_identifies_files_without_new_rows_of_them(photos, store, fake):
    shutil.copy(photos / "cats" / "a.png", photos / "dogs" / "copy.png")
    run(photos, store, fake)
    files = store.files(store.datasets()[0])
    assert counts(run(photos, store, fake, resize=Resize("32x48"))) == (5, 4, 1, 0)
    pd.testing.assert_frame_equal(store.files(store.datasets()[0]), files)
    table = store.table()
    assert table.groupby("run", observed=True).size().tolist() == [5, 5]
    assert set(table["grid_width"]) == {32, 64}


def test_a_file_that_comes_back_unchanged_is_a_row_again(photos, store, fake):
    run(photos, store, fake)
    aside = photos.parent / "aside.png"
    (photos / "cats" / "a.png").rename(aside)
    assert counts(run(photos, store, fake)) == (3, 0, 3, 0)
    assert len(store.table()) == 3
    aside.rename(photos / "cats" / "a.png")
    assert counts(run(photos, store, fake)) == (4, 0, 4, 0)
    assert len(store.table()) == 4


def test_failures_are_rows_with_a_reason_and_are_not_opened_again(photos, store, fake, monkeypatch):
    (photos / "cats" / "empty.jpg").write_bytes(b"")
    (photos / "cats" / "text.jpg").write_text("no picture")
    assert counts(run(photos, store, fake)) == (6, 4, 0, 2)
    failures = store.failures().set_index("path")
    assert failures["reason"].to_dict() == {"cats/empty.jpg": "empty", "cats/text.jpg": "not_an_image"}
    assert len(store.table()) == 4
    with monkeypatch.context() as patch:
        patch.setattr("seglib.data.decode_pool.read_image", pytest.fail)
        assert counts(run(photos, store, fake)) == (6, 0, 4, 2)
    Image.new("RGB", (64, 48), (255, 0, 0)).save(photos / "cats" / "text.jpg", "PNG")
    assert counts(run(photos, store, fake)) == (6, 1, 4, 1)
    assert list(store.failures()["path"]) == ["cats/empty.jpg"]


def test_names_that_are_no_utf8_are_failures_with_a_hint(photos, store, fake):
    with open(os.fsencode(photos) + b"/cats/\xff.png", "wb") as file:
        file.write((photos / "cats" / "a.png").read_bytes())
    assert counts(run(photos, store, fake)) == (5, 4, 0, 1)
    assert counts(run(photos, store, fake)) == (5, 0, 4, 1)
    failure = store.failures().iloc[0]
    assert (failure["path"], failure["reason"]) == ("cats/\\xff.png", "unreadable")
    assert "rename it" in failure["detail"]


def test_a_folder_whose_name_is_no_utf8_is_a_data_set(photos, store, fake):
    odd = Path(os.fsdecode(os.fsencode(photos.parent) + b"/\xff"))
    photos.rename(odd)
    assert counts(run(odd, store, fake)) == (4, 4, 0, 0)
    assert store.table()["dataset"].unique().tolist() == ["\\xff"]
    assert counts(run(odd, Store(store.path), fake)) == (4, 0, 4, 0)


def test_a_file_that_was_refused_is_read_as_soon_as_it_may_be(photos, store, fake, monkeypatch):
    real = decode_pool.read_image

    def refused(path, *rest, **options):
        if path.name == "a.png":
            raise BadImage("unreadable", "Reading failed: Permission denied.")
        return real(path, *rest, **options)

    monkeypatch.setattr("seglib.data.decode_pool.read_image", refused)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert counts(run(photos, store, fake)) == (4, 3, 0, 1)
    assert counts(run(photos, store, fake)) == (4, 0, 3, 1)
    monkeypatch.undo()
    assert counts(run(photos, store, fake)) == (4, 1, 3, 0)


@pytest.mark.parametrize(
    ("detail", "computed"), [("Decoding failed: OSError image file is truncated.", 1), ("The decoder stopped: ...", 0)]
)
def test_what_an_older_version_could_not_decode_is_tried_again(photos, store, fake, monkeypatch, detail, computed):
    real = decode_pool.read_image

    def fail(path, *rest, **options):
        if path.name == "a.png":
            raise BadImage("truncated", detail)
        return real(path, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr("seglib.data.decode_pool.read_image", fail)
        assert counts(run(photos, store, fake)) == (4, 3, 0, 1)
    assert counts(run(photos, store, fake)) == (4, computed, 3, 1 - computed)


def test_a_report_says_what_was_left_out(photos, store, fake):
    (photos / "film.mp4").write_bytes(b"x")
    (photos / "gone.jpg").symlink_to("nothing")
    assert run(photos, store, fake).left_out == LeftOut(kinds={".mp4": 1}, links_broken=1)


def test_a_good_file_that_turns_bad_leaves_the_table_with_a_reason(photos, store, fake):
    run(photos, store, fake)
    (photos / "cats" / "a.png").write_bytes(b"broken")
    assert counts(run(photos, store, fake)) == (4, 0, 3, 1)
    assert "cats/a.png" not in set(store.table()["path"])
    assert store.failures()["reason"].tolist() == ["not_an_image"]


def test_a_touched_file_is_read_again_and_not_computed_again(photos, store, fake):
    run(photos, store, fake)
    os.utime(photos / "cats" / "a.png", ns=(1, 1))
    assert counts(run(photos, store, fake)) == (4, 0, 4, 0)
    assert len(store.table()) == 4


def test_a_limit_or_list_computes_some_and_forgets_none(photos, store, fake):
    run(photos, store, fake, RunOptions(workers=0, limit=1))
    assert store.table()["path"].tolist() == ["cats/a.png"]
    report = run(photos, store, fake, RunOptions(workers=0, names=("d", "cats/a.png")))
    assert counts(report) == (2, 1, 1, 0)
    assert report.vanished == 0
    assert store.table()["path"].tolist() == ["cats/a.png", "dogs/d.png"]


def test_two_folders_with_equal_relative_paths_do_not_mix(photos, store, fake, tmp_path):
    other = tmp_path / "elsewhere" / "photos"
    shutil.copytree(photos, other)
    Image.new("RGB", (64, 48), (0, 0, 255)).save(other / "cats" / "a.png")
    run(photos, store, fake)
    assert counts(run(other, store, fake)) == (4, 1, 3, 0)
    table = store.table()
    assert len(table) == 8
    names = table["dataset"].cat.categories.tolist()
    assert names[0] == "photos"
    assert names[1].startswith("photos-")
    assert table[table["path"] == "cats/a.png"].set_index("dataset")["px:person"].to_dict() == {
        names[0]: 0,
        names[1]: 3072,
    }
    (other / "cats" / "a.png").unlink()
    run(other, store, fake)
    assert len(store.table(datasets=["photos"])) == 4


def test_a_copy_has_no_row_before_its_original_has(photos, store, fake, monkeypatch):
    """A kill between two commits must not leave a file that points to nothing."""
    shutil.copy(photos / "cats" / "a.png", photos / "cats" / "a copy.png")
    monkeypatch.setattr("seglib.store.writer.COMMIT_ROWS", 1)
    gate, real = threading.Event(), predictor.predict_batch

    def slow(*arguments):
        gate.wait(1)  # the copy is read long before its original is computed
        return real(*arguments)

    seen, commit = [], writer.RunWriter.commit

    def watched(self):
        commit(self)
        files, rows = store.files(store.datasets()[0]), store.computed_ids(store.runs()[0])
        seen.append(set(files["image_id"].dropna()) - rows)

    monkeypatch.setattr(predictor, "predict_batch", slow)
    monkeypatch.setattr(writer.RunWriter, "commit", watched)
    assert counts(run(photos, store, fake, RunOptions(workers=0, batch_size=4))) == (5, 4, 1, 0)
    assert seen
    assert seen == [set()] * len(seen)


def test_parts_are_merged_at_the_end(photos, store, fake, monkeypatch):
    monkeypatch.setattr("seglib.store.writer.COMMIT_ROWS", 1)
    report = run(photos, store, fake)
    assert len(list((store.path / "runs" / report.run / "stats").iterdir())) == 1
    assert len(list(store.path.glob("datasets/*/files/*"))) == 1
    assert len(store.table()) == 4


def test_progress_counts_up_to_the_total(photos, store, fake):
    (photos / "cats" / "empty.jpg").write_bytes(b"")
    seen = []
    run(photos, store, fake, on_progress=lambda p: seen.append((p.total, p.done, p.failed)))
    assert seen[0] == (5, 0, 0)
    assert seen[-1] == (5, 5, 1)


def test_what_is_computed_before_a_stop_is_kept(photos, store, fake, monkeypatch):
    real, calls = predictor.predict_batch, []

    def stopped_at_the_third(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(predictor, "predict_batch", stopped_at_the_third)
    monkeypatch.setattr(thread_pool, "MAX_THREADS", 1)
    with pytest.raises(KeyboardInterrupt):
        run(photos, store, fake, RunOptions(workers=0, batch_size=1))
    kept = len(store.table())
    assert kept in (2, 3)  # the fourth may have begun when the third was stopped
    assert store.runs()[0].invocations[0]["computed"] == kept
    monkeypatch.setattr(predictor, "predict_batch", real)
    assert counts(run(photos, store, fake)) == (4, 4 - kept, kept, 0)


def test_a_failed_write_loses_nothing_else_and_is_reported(photos, store, fake, monkeypatch):
    real, bad = type(store.atomic).write, compute_image_id((photos / "cats" / "b.png").read_bytes())

    def full(self, path, data, **options):
        if path.suffix == ".png" and path.stem == bad:
            raise OSError(28, "No space left on device")
        real(self, path, data, **options)

    monkeypatch.setattr(type(store.atomic), "write", full)
    with pytest.raises(OSError, match="No space"):
        run(photos, store, fake, RunOptions(workers=0, batch_size=1))
    monkeypatch.setattr(type(store.atomic), "write", real)
    kept = set(store.table()["path"])
    assert "cats/a.png" in kept
    assert "cats/b.png" not in kept
    assert counts(run(photos, store, fake)) == (4, 4 - len(kept), len(kept), 0)


def test_auto_precision_repeats_the_store(photos, store, fake, monkeypatch):
    monkeypatch.setattr(config, "fastest_precision", lambda device: "fp32")
    run(photos, store, fake, precision="bf16")
    report = run(photos, store, fake, precision="auto")
    assert (report.precision, report.computed) == ("bf16", 0)
    assert run(photos, store, fake, precision="auto", resize=Resize("32x48")).precision == "fp32"


def test_told_to_stop_while_the_last_photos_are_kept_it_keeps_them(photos, store, fake, monkeypatch):
    real, calls = thread_pool.ThreadPoolExecutor.shutdown, []

    def stopped_once(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise Terminated
        real(self, *arguments, **options)

    monkeypatch.setattr(thread_pool.ThreadPoolExecutor, "shutdown", stopped_once)
    with pytest.raises(Terminated):
        run(photos, store, fake)
    monkeypatch.undo()
    assert len(store.table()) == 4


def test_verify_finds_changed_content_behind_equal_size_and_time_and_damaged_masks(photos, store, fake):
    report = run(photos, store, fake)
    ids = store.table().set_index("path")["image_id"]
    path = photos / "cats" / "a.png"
    status, data = path.stat(), bytearray(path.read_bytes())
    path.write_bytes(bytes(data[:-12]) + b"IEND" * 3)  # same size, other content
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    store.mask_path(report.run, ids["dogs/c.png"]).unlink()
    store.mask_path(report.run, ids["dogs/d.png"]).write_bytes(b"x")
    assert counts(run(photos, store, fake)) == (4, 0, 4, 0)  # nobody looked
    assert verify.damaged_masks(store, store.run()) == {ids["dogs/c.png"], ids["dogs/d.png"]}
    repaired = run(photos, store, fake, RunOptions(workers=0, verify=True))
    assert (repaired.computed, repaired.failed) in ((3, 0), (2, 1))
    assert verify.damaged_masks(store, store.run()) == set()
    assert len(store.table()) in (3, 4)


def test_a_run_is_claimed_while_it_is_added_to(photos, store, fake):
    seen = []
    seglib.run(
        photos,
        store,
        fake,
        precision="fp32",
        options=RunOptions(workers=0),
        on_progress=lambda p: seen.append(list(store.path.glob(f"tmp/*/run.{p.run}"))),
    )
    assert all(len(claims) == 1 for claims in seen)
    assert not list(store.path.glob("tmp/*"))


def test_an_empty_folder_makes_no_run(store, fake, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match="No photos"):
        run(tmp_path / "none", store, fake)
    assert store.runs() == []


def test_weights_that_do_not_fit_leave_no_run_behind(photos, store, fake):
    with pytest.raises(WeightsError, match="does not fit"):
        run(photos, store, replace(fake, classes=("background", "cat")))
    assert store.runs() == []
    assert run(photos, store, fake).computed == 4
