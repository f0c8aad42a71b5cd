"""A run from the page: started, watched, cancelled, resumed, deleted; the embedded network on real photos."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from dashboard.settings import ServerSettings
from dashboard.workers.jobs import Jobs
from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.dashboard.conftest import fill_store
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, figure, opened, settle

pytestmark = pytest.mark.e2e

PHOTOS = 140
LONG = {"timeout": 180_000}


@pytest.fixture
def data(tmp_path) -> Path:
    """A folder of many small photos: those of the sample, each time with other bytes after the picture's end."""
    folder = tmp_path / "data" / "many" / "cats"
    folder.mkdir(parents=True)
    originals = sorted(SAMPLE.glob("cats/*.jpg"))
    for number in range(PHOTOS):
        photo = originals[number % len(originals)].read_bytes()
        (folder / f"{number:03}.jpg").write_bytes(photo + f"copy {number}".encode())
    (folder / "0-broken.jpg").write_bytes(b"")
    return tmp_path / "data"


@pytest.fixture
def store(tmp_path, data):
    """A store with a run that is not ours; jobs that a failed test leaves behind are ended."""
    fill_store(tmp_path / "store")
    (tmp_path / "photos").mkdir()
    yield Store(tmp_path / "store")
    jobs = Jobs(ServerSettings(store=tmp_path / "store", photo_folders=(data,)))
    for job in jobs.all():
        jobs.stop(job.id)
    deadline = time.monotonic() + 20
    while any(job.live for job in jobs.all()) and time.monotonic() < deadline:
        time.sleep(0.1)


def done(page) -> int:
    """Photos that the progress bar counts."""
    text = page.get_by_text(re.compile(rf"\d+ of {PHOTOS + 1} photos")).first.inner_text()
    return int(re.search(r"(\d+) of", text)[1])


def test_a_run_is_started_watched_cancelled_and_resumed(start, browser, store, data):
    server = start(store.path, "--data", str(data))
    page = opened(browser, f"{server.url}/runs", drawn="h1")
    page.get_by_text(re.compile(rf"{PHOTOS + 1} photos in data \(")).wait_for()
    resize = page.get_by_role("combobox", name="Resize")
    resize.click()
    resize.fill("512x384")  # slow enough to watch, and one that is not on the list
    resize.press("Enter")
    settle(page)
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("fcn_mobilenet_v2 · 512x384").first.wait_for()
    page.get_by_text(re.compile(r"photos/s · about .* left · 1 unreadable")).wait_for(**LONG)
    before = done(page)
    page.wait_for_function(
        "before => Number(document.body.innerText.match(/(\\d+) of \\d+ photos/)?.[1]) > before", arg=before, **LONG
    )

    # a reload changes nothing; it stops when told
    page.reload()
    page.get_by_role("button", name="Cancel").wait_for()
    assert done(page) > before
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text(re.compile(rf"Cancelled after \d+ of {PHOTOS + 1} photos; they are kept")).wait_for(**LONG)
    kept = done(page)
    run = next(run for run in store.runs() if run.model == "fcn_mobilenet_v2")
    assert kept == store.count_rows(run) + 1  # the unreadable one

    # it goes on without a server, and computes only what is missing
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Cancel").wait_for()
    assert page.faults == []
    server.stop()
    jobs = Jobs(ServerSettings(store=store.path, photo_folders=(data,)))
    while jobs.all()[0].live:
        time.sleep(0.1)
    again = start(store.path, "--data", str(data))
    other = opened(browser, f"{again.url}/runs", drawn="h1", scheme="dark", width=390)
    finished = other.get_by_text(re.compile(rf"Finished: {PHOTOS + 1} photos"))
    finished.wait_for()
    settle(other)
    assert violations(other) == []
    assert other.evaluate(SIDEWAYS) == [0, 0]
    assert f"{PHOTOS - kept + 1} computed, {kept - 1} already known, 1 unreadable" in finished.inner_text()
    assert store.count_rows(run) == PHOTOS
    other.get_by_role("button", name="Explore").first.click()
    other.get_by_role("heading", name="Explore").wait_for()
    other.wait_for_selector("dl.figures")
    assert figure(other, f"photos of {PHOTOS}") == str(PHOTOS)
    assert str(store.path.parent) not in other.content()
    assert other.faults == []
    assert "torch" not in again.loaded()


def test_a_run_is_deleted_after_a_question(start, browser, store, data):
    (run,) = store.runs()
    page = opened(browser, f"{start(store.path, '--data', str(data)).url}/runs", drawn="h1")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(run.run).wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert [other.run for other in store.runs()] == [run.run]
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    page.get_by_text("This store holds no run yet").wait_for()
    assert store.runs() == []
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("button", name="Add photos").click()
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    assert page.faults == []


def test_a_killed_worker_is_said_to_be_gone(start, browser, store, data):
    page = opened(browser, f"{start(store.path, '--data', str(data)).url}/runs", drawn="h1")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Cancel").wait_for()
    (file,) = store.path.glob("jobs/*/process.json")
    os.killpg(int(re.search(r'"pid": (\d+)', file.read_text())[1]), signal.SIGKILL)
    page.get_by_text("ended without a message").wait_for()
    assert page.get_by_role("button", name="Cancel").count() == 0
    assert page.faults == []
