"""Runs that are killed or stopped, in processes of their own with the embedded net, and the run that continues them."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib.cli import main
from seglib.store.store import Store
from tests.conftest import ROOT

PHOTOS = 24
OPTIONS = ("--batch-size", "2", "--workers", "2", "--resize", "96")

SLOW_RUN = """
import sys, time
from seglib.cli import main
from seglib.inference import predictor
from seglib.store import writer
writer.COMMIT_ROWS = 4
real = predictor.predict_batch
def slow(*arguments):
    time.sleep(0.4)  # several at once: long enough that a signal comes in the middle
    return real(*arguments)
predictor.predict_batch = slow
if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:]))
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "cats"
    folder.mkdir()
    for index in range(PHOTOS):
        noise = np.random.default_rng(index).integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(noise).resize((320, 240)).save(folder / f"{index:02}.jpg")
    return folder.parent


@pytest.fixture(scope="module")
def uninterrupted(photos, tmp_path_factory) -> Store:
    path = tmp_path_factory.mktemp("whole") / "store"
    finish(photos, path)
    return Store(path)


def started(photos: Path, store: Path, *program: str) -> subprocess.Popen:
    command = [sys.executable, *program, "run", str(photos), "--store", str(store), *OPTIONS]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - it only sets a signal
    )


def heed_interrupts() -> None:
    """A shell starts what is in its background deaf to Ctrl-C; if the tests were, the run would be too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(photos: Path, store: Path) -> None:
    """The same command, here."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        assert main.main(["run", str(photos), "--store", str(store), *OPTIONS]) == 0
    (line,) = said.getvalue().splitlines()
    assert "photos to compute" in line


@pytest.fixture
def slow_run(photos, tmp_path):
    """A run that has just committed its first part."""
    script = tmp_path / "slow_run.py"
    script.write_text(SLOW_RUN)
    process = started(photos, tmp_path / "store", str(script))
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("store/datasets/*/files/part-*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()


def test_a_killed_runs_workers_end_and_it_continues_to_the_same_store(slow_run, photos, tmp_path, uninterrupted):
    workers = find_children(slow_run.pid)
    assert workers is None or len(workers) >= 2
    slow_run.kill()
    slow_run.wait()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in workers or []):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    store = Store(tmp_path / "store")
    before = len(store.table())
    assert 0 < before < PHOTOS
    finish(photos, store.path)
    assert_equal_stores(store, uninterrupted)
    assert store.runs()[0].invocations[-1]["reused"] >= before


def find_children(pid: int) -> list[int] | None:
    """The processes that this one has started; None where there is no /proc."""
    if not Path("/proc").is_dir():
        return None
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "Stopped"), (signal.SIGTERM, 143, "Terminated")]
)
def test_a_stopped_run_keeps_what_it_computed_and_says_so(
    slow_run, photos, tmp_path, uninterrupted, number, code, word
):
    os.killpg(slow_run.pid, number) if number == signal.SIGINT else slow_run.send_signal(number)
    assert slow_run.wait(30) == code
    said = slow_run.stderr.read().splitlines()
    assert said[1:] == [f"seglib: {word}. What was computed is kept; the same command continues."]
    store = Store(tmp_path / "store")
    before = len(store.table())
    assert 0 < before < PHOTOS
    assert store.runs()[0].invocations[0]["computed"] == before
    finish(photos, store.path)
    assert_equal_stores(store, uninterrupted)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def assert_equal_stores(found: Store, expected: Store) -> None:
    """Integers, text and masks exactly, floats to 1e-5, and nothing left over."""
    pd.testing.assert_frame_equal(found.table(), expected.table(), rtol=0, atol=1e-5)
    run = expected.runs()[0].run
    for image_id in expected.table()["image_id"]:
        assert found.mask_path(run, image_id).read_bytes() == expected.mask_path(run, image_id).read_bytes()
        assert found.thumbnail_path(image_id).exists()
    names = [{p.suffix for p in store.path.rglob("*") if p.is_file()} for store in (found, expected)]
    assert names[0] == names[1] == {".json", ".parquet", ".png", ".jpg"}
    assert not (found.path / "tmp").exists()
    assert len(list(found.path.glob("runs/*/stats/*"))) == 1
