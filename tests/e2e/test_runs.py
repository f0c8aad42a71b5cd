"""A run from the page: started, watched, cancelled, killed, resumed, deleted; the embedded network on real photos."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from dashboard.formatting import local_time
from dashboard.settings import ServerSettings
from dashboard.workers.jobs import Jobs
from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.dashboard.conftest import fill_store
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, figure, opened, settle, visit

pytestmark = pytest.mark.e2e

PHOTOS = 70
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


def choose(page, run: str, action: str) -> None:
    """Open a run's menu by keyboard and choose an entry."""
    page.get_by_role("button", name=f"Actions for {run}").press("ArrowDown")
    menu = page.get_by_role("menu", name=f"Actions for {run}")
    menu.wait_for()
    item = menu.get_by_role("menuitem", name=re.compile(f"^{action}"))
    for _ in range(10):
        if item.evaluate("item => item.matches(':focus')"):
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settle(page)


def test_a_run_is_started_watched_cancelled_killed_and_resumed(start, browser, store, data):
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

    # on other pages a bar goes on by itself and leads back; a reload changes nothing; it stops when told
    page.get_by_role("link", name="Overview").click()
    bar = page.locator(".progress-bar")
    bar.get_by_text(re.compile(rf"data: \d+ of {PHOTOS + 1}")).wait_for()
    page.get_by_text(re.compile(rf"Partial: \d+ of {PHOTOS + 1} photos so far")).wait_for()
    page.wait_for_function(
        "before => Number(document.querySelector('.progress-bar').innerText.match(/(\\d+) of/)?.[1]) > before",
        arg=before,
        **LONG,
    )
    page.get_by_role("button", name="Runs", exact=True).click()
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    page.reload()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text(re.compile(rf"Cancelled after \d+ of {PHOTOS + 1} photos; they are kept")).wait_for(**LONG)
    kept = done(page)
    assert kept > before
    run = next(run for run in store.runs() if run.model == "fcn_mobilenet_v2")
    assert kept == store.count_rows(run) + 1  # the unreadable one
    page.get_by_text(f"partial, {kept} of {PHOTOS + 1}").wait_for()

    # a killed worker is said to be gone
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Cancel").wait_for()
    while not (files := list(store.path.glob("jobs/*/process.json"))):  # it can be cancelled before it has a process
        time.sleep(0.05)
    os.killpg(int(re.search(r'"pid": (\d+)', files[0].read_text())[1]), signal.SIGKILL)
    page.get_by_text("ended without a message").wait_for()
    page.get_by_role("button", name="Cancel").wait_for(state="detached")

    # it goes on without a server, and computes only what is missing
    kept = store.count_rows(run) + 1
    page.get_by_role("button", name=re.compile("Resume|Try again")).click()
    page.get_by_role("button", name="Cancel").wait_for()
    assert page.faults == []
    server.stop()
    jobs = Jobs(ServerSettings(store=store.path, photo_folders=(data,)))
    while jobs.all()[0].live:
        time.sleep(0.1)
    again = start(store.path, "--data", str(data))
    other = opened(browser, f"{again.url}/runs", drawn="h1", scheme="dark", width=390, timezone_id="Asia/Kolkata")
    finished = other.get_by_text(re.compile(rf"Finished: {PHOTOS + 1} photos"))
    finished.wait_for()
    settle(other)
    assert violations(other) == []
    assert other.evaluate(SIDEWAYS) == [0, 0]
    assert f"{PHOTOS - kept + 1} computed, {kept - 1} already known, 1 unreadable" in finished.inner_text()
    assert store.count_rows(run) == PHOTOS
    last_used = local_time(store.run(run.run).last_used, "Asia/Kolkata")
    assert last_used in other.get_by_role("row", name="fcn_mobilenet_v2").inner_text()

    # its log and its photos
    other.get_by_role("button", name="Log").first.click()
    other.get_by_role("dialog").get_by_text(f"finished: {PHOTOS + 1} photos or masks").wait_for()
    other.keyboard.press("Escape")
    other.get_by_role("button", name="Explore", exact=True).first.click()
    other.get_by_role("heading", name="Explore").wait_for()
    other.wait_for_selector("dl.figures")
    assert figure(other, f"photos of {PHOTOS}") == str(PHOTOS)
    assert "dataset=data" in other.url
    assert str(store.path.parent) not in other.content()
    assert other.faults == []
    assert "torch" not in again.loaded()

    # runs are deleted after a question
    other.set_viewport_size({"width": 1024, "height": 768})
    visit(other, f"{again.url}/runs", drawn="h1")
    choose(other, "fake_net", "Delete")
    dialog = other.get_by_role("dialog")
    dialog.get_by_text("fake_net").first.wait_for()
    other.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert len(store.runs()) == 2
    for name in ("fake_net", "fcn_mobilenet_v2"):
        choose(other, name, "Delete")
        dialog.get_by_role("button", name="Delete").click()
        dialog.wait_for(state="hidden")
    other.get_by_text("This store holds no run yet").wait_for()
    assert store.runs() == []
    other.get_by_role("link", name="Overview").click()
    other.get_by_role("button", name="Add photos").click()
    other.get_by_role("heading", name="Runs", exact=True).wait_for()
    assert other.faults == []
