"""`--part I/N`: the parts are a partition, and what several processes compute is what one would have computed."""

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seglib
from seglib.cli import main
from seglib.data import scan
from seglib.data.image_ids import ImageIds
from seglib.data.scan import Part
from seglib.errors import UsageError, WeightsError
from seglib.fileio.lock import RegisteredWriter
from seglib.maintenance.status import find_drifts, read_status
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.conftest import ROOT, SAMPLE
from tests.seglib.pipeline.test_interruption import SLOW_RUN
from tests.seglib.small_runs import counts, run

PATHS = st.lists(st.text(min_size=1), unique=True, max_size=60)


# --- the partition ---


@given(PATHS, st.integers(1, 9), st.randoms())
def test_parts_are_disjoint_complete_and_independent_of_the_other_photos(paths, parts, random):
    records = pd.DataFrame({"path": paths}, dtype="str")
    chosen = [list(Part(number, parts).select(records)["path"]) for number in range(1, parts + 1)]
    assert sorted(itertools.chain.from_iterable(chosen)) == sorted(paths)
    random.shuffle(paths)
    fewer = pd.DataFrame({"path": paths[: len(paths) // 2]}, dtype="str")
    for number, part in enumerate(chosen, 1):
        assert set(Part(number, parts).select(fewer)["path"]) == set(part) & set(fewer["path"])


def test_the_part_of_a_path_is_its_sha256_modulo_the_number_of_parts():
    assert int(hashlib.sha256(b"cats/chelsea.png").hexdigest(), 16) % 1000 == 481
    assert [n for n in range(1, 1001) if Part(n, 1000).holds("cats/chelsea.png")] == [482]
    assert Part(1, 1).holds("katzen/größe.jpg")


def test_parts_are_about_equal():
    records = pd.DataFrame({"path": [f"{index // 100}/{index}.jpg" for index in range(8000)]})
    sizes = [len(Part(number, 8).select(records)) for number in range(1, 9)]
    assert (min(sizes) > 900, max(sizes) < 1100) == (True, True)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "", "1/2/3", "-1/2", "1/ 2", "１/２", "1.0/2"])
def test_what_is_no_part_is_refused_in_one_sentence(text, photos, tmp_path, capsys):
    assert main.main(["run", str(photos), "--store", str(tmp_path / "none"), f"--part={text}"]) == 2
    assert capsys.readouterr().err == (
        f"seglib: A part is the I-th of N, with I from 1 to N, such as 2/8, not {text!r}.\n"
    )
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("part", [(0, 2), (3, 2), (1,), ("1", "2"), "1/2", 1, (1, 2.0), (True, 1)])
def test_in_python_a_part_is_two_numbers(part):
    with pytest.raises(UsageError, match=r"^A part is \(I, N\), the I-th of N with I from 1 to N"):
        RunOptions(part=part)


# --- runs ---


def test_parts_one_after_the_other_are_one_run(photos, store, fake, tmp_path):
    (photos / "cats" / "empty.jpg").write_bytes(b"")
    whole = Store.create(tmp_path / "whole")
    expected = run(photos, whole, fake)
    reports = [run(photos, store, fake, RunOptions(workers=0, part=(number, 3))) for number in (2, 1, 3)]
    assert {report.run for report in reports} == {expected.run}
    for figure in ("images", "computed", "failed"):
        assert sum(getattr(report, figure) for report in reports) == getattr(expected, figure)
    assert_equal_stores(store, whole)
    assert [one["part"] for one in store.run().invocations] == ["2/3", "1/3", "3/3"]
    assert counts(run(photos, store, fake)) == (5, 0, 4, 1)


def test_status_says_what_is_missing_after_some_parts(photos, store, fake, capsys):
    known = run(photos, store, replace(fake, name="other"))
    first = run(photos, store, fake, RunOptions(workers=0, part=(1, 2)))
    pending = {one.run: one.pending for one in read_status(store).runs}
    assert pending == {known.run: 0, first.run: 4 - first.computed}
    assert 0 < first.computed < 4
    assert main.main(["status", "--store", str(store.path)]) == 0
    assert f": {first.computed} photos, {4 - first.computed} not computed" in capsys.readouterr().out


def test_status_says_which_photos_of_a_new_folder_are_not_known_yet(photos, store, fake):
    first = run(photos, store, fake, RunOptions(workers=0, part=(1, 2)))
    (drift,) = find_drifts(store)
    assert (drift.new, drift.vanished) == (4 - first.images, 0)
    assert "run again" in drift.sentence


def test_a_part_without_photos_is_no_failure(photos, tmp_path, fake, monkeypatch, capsys):
    monkeypatch.setitem(seglib.MODELS, "fake", fake)
    empty = next(n for n in range(1, 1001) if not any(Part(n, 1000).holds(path) for path in scan.scan(photos)["path"]))
    command = ["run", str(photos), "--store", str(tmp_path / "s"), "--model", "fake", "--precision", "fp32", "--json"]
    assert main.main([*command, "--part", f"{empty}/1000"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 0


def test_a_part_is_taken_of_the_photos_that_are_listed(photos, store, fake):
    reports = [run(photos, store, fake, RunOptions(workers=0, limit=3, part=(number, 2))) for number in (1, 2)]
    assert sum(report.images for report in reports) == 3
    assert len(store.table()) == 3


def test_a_copy_in_another_part_is_computed_once_if_the_parts_follow_each_other(photos, store, fake):
    copy_into_other_part(photos, "cats/a.png")
    reports = [run(photos, store, fake, RunOptions(workers=0, part=(number, 2))) for number in (1, 2)]
    assert [sum(getattr(one, name) for one in reports) for name in ("images", "computed", "reused")] == [5, 4, 1]
    assert len(store.table()) == 5
    assert len(store.stats(store.run())) == 4


def test_a_copy_that_two_parts_compute_at_the_same_time_has_one_row(photos, store, fake, monkeypatch):
    """Each part plans before the other has stored anything."""
    copy_into_other_part(photos, "cats/a.png")
    real = Store.computed_ids
    monkeypatch.setattr(Store, "computed_ids", lambda self, run: ImageIds())
    reports = [run(photos, store, fake, RunOptions(workers=0, part=(number, 2))) for number in (1, 2)]
    monkeypatch.setattr(Store, "computed_ids", real)
    assert [sum(getattr(one, name) for one in reports) for name in ("images", "computed", "reused")] == [5, 5, 0]
    (status,) = read_status(store).runs
    assert (status.rows, status.pending, status.stale_rows, status.embeddings) == (4, 0, 0, 4)
    assert (len(store.table()), len(store.stats(store.run())), store.count_rows(store.run())) == (5, 4, 4)


def test_a_model_without_a_digest_has_no_parts(photos, store):
    with pytest.raises(UsageError, match=r"No digest tells .*would not come together: leave out `part`"):
        seglib.run(photos, store, lambda x: x, classes=["a", "b"], options=RunOptions(part=(1, 2)))
    assert store.runs() == []


def test_a_part_whose_model_does_not_load_leaves_the_run_of_another_alone(photos, store, fake):
    """The other one has announced itself, and stored nothing yet."""
    broken = replace(fake, classes=("background", "cat"))
    with pytest.raises(WeightsError):
        run(photos, store, broken)
    assert store.runs() == []
    other = RegisteredWriter(store.path)
    with other.register_writer():
        name = make_name(broken)
        other.claim_run(name)
        with pytest.raises(WeightsError):
            run(photos, store, broken, RunOptions(workers=0, part=(1, 2)))
        assert [one.run for one in store.runs()] == [name]


@pytest.mark.parametrize("method", ["write_dataset", "write_run"])
def test_records_are_written_under_the_lock(photos, store, fake, monkeypatch, method):
    """Otherwise the first two processes make two datasets of a folder, or one loses the other's invocation."""
    real, locked = getattr(Store, method), []
    monkeypatch.setattr(
        Store, method, lambda self, one: locked.append((self.path / "lock").exists()) or real(self, one)
    )
    run(photos, store, fake, RunOptions(workers=0, part=(1, 2)))
    assert locked
    assert all(locked)


# --- processes ---


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """The sample, with a copy of one photo in another part."""
    folder = tmp_path_factory.mktemp("parts") / "sample"
    shutil.copytree(SAMPLE, folder)
    copy_into_other_part(folder, "cats/chelsea.png")
    return folder


@pytest.fixture(scope="module")
def whole(sample, tmp_path_factory) -> Store:
    path = tmp_path_factory.mktemp("whole") / "store"
    assert main.main(["run", str(sample), "--store", str(path), *OPTIONS]) == 0
    return Store(path)


OPTIONS = ("--precision", "fp32", "--resize", "96", "--batch-size", "2", "--workers", "1")


def start(photos: Path, store: Path, part: str, *program: str) -> subprocess.Popen:
    command = [sys.executable, *(program or ("-m", "seglib")), "run", str(photos), "--store", str(store), *OPTIONS]
    return subprocess.Popen(
        [*command, "--part", part, "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.mark.slow
def test_two_processes_at_the_same_time_make_the_store_of_one(sample, whole, tmp_path):
    processes = [start(sample, tmp_path / "store", part) for part in ("1/2", "2/2")]
    reports = [finish(process) for process in processes]
    store = Store(tmp_path / "store")
    assert [report["run"] for report in reports] == [store.run().run] * 2 == [whole.run().run] * 2
    assert sum(report["images"] for report in reports) == len(whole.table())
    assert sorted(one["part"] for one in store.run().invocations) == ["1/2", "2/2"]
    assert [one["computed"] for one in sorted(store.run().invocations, key=lambda one: one["part"])] == [
        report["computed"] for report in reports
    ]
    assert_equal_stores(store, whole)
    assert not list(store.path.glob("tmp/*"))


@pytest.mark.slow
def test_a_part_that_is_killed_and_started_again_ends_in_the_same_store(sample, whole, tmp_path):
    script, path = tmp_path / "slow.py", tmp_path / "store"
    script.write_text(SLOW_RUN.replace("COMMIT_ROWS = 4", "COMMIT_ROWS = 1"))
    killed = start(sample, path, "2/2", str(script))
    other = start(sample, path, "1/2", str(script))
    rows, deadline = 0, time.monotonic() + 120
    while not list(path.glob("runs/*/stats/part-*")):
        assert killed.poll() is None, killed.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(30) == -signal.SIGKILL
    killed.communicate()
    finish(other)
    rows = len(Store(path).table())
    assert 0 < rows < len(whole.table())
    assert finish(start(sample, path, "2/2"))["computed"] > 0
    store = Store(path)
    assert_equal_stores(store, whole)
    assert sorted(one["part"] for one in store.run().invocations) == ["1/2", "2/2"]


def copy_into_other_part(folder: Path, path: str) -> None:
    """Copy a photo under a name that is in the other of two parts."""
    names = (f"{Path(path).parent}/copy{index}{Path(path).suffix}" for index in range(99))
    name = next(one for one in names if Part(1, 2).holds(one) != Part(1, 2).holds(path))
    shutil.copy(folder / path, folder / name)


def make_name(spec) -> str:
    from seglib.inference.config import InferenceConfig, make_run_config

    return make_run_config(spec, InferenceConfig(resize=spec.resize)).run_name


def assert_equal_stores(found: Store, expected: Store) -> None:
    """Masks, thumbnails, rows and run names are those of the other store, and there is one row per image."""
    pd.testing.assert_frame_equal(found.table(), expected.table(), rtol=0, atol=0)
    assert [one.run for one in found.runs()] == [one.run for one in expected.runs()]
    assert [one.id for one in found.datasets()] == [one.id for one in expected.datasets()]
    pd.testing.assert_frame_equal(found.failures(), expected.failures())
    name = expected.run().run
    for image_id in expected.table()["image_id"].unique():
        assert found.mask_path(name, image_id).read_bytes() == expected.mask_path(name, image_id).read_bytes()
        assert found.thumbnail_path(image_id).read_bytes() == expected.thumbnail_path(image_id).read_bytes()
    assert len(found.stats(found.run())) == found.table()["image_id"].nunique()
    assert len(list(found.path.glob("runs/*/masks/*/*.png"))) == found.table()["image_id"].nunique()
    ids = [np.sort(one.stats(one.run())["image_id"]) for one in (found, expected)]
    assert np.array_equal(*ids)
