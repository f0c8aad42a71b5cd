"""A teacher's way in a real browser: from the demo to the photos of a folder that is chosen in the page."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.dashboard.conftest import fill_store
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, figure, opened, settle, tile_names

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home with the photos of a class and some others, and a demo that was made before."""
    for name, folder in (("chelsea.png", "class/cats"), ("siamese.jpg", "class/dogs"), ("chelsea.png", "others")):
        target = tmp_path / "home" / "Pictures" / folder
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLE / "cats" / name, target)
    with (tmp_path / "home" / "Pictures" / "others" / "chelsea.png").open("ab") as file:
        file.write(b"another")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fill_store(tmp_path / "store" / "demo", folder="sample", real=True)
    return tmp_path / "home"


def zipped() -> dict[str, object]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(SAMPLE / "cats" / "siamese.jpg", "garden/cats/a.jpg")
        archive.writestr("garden/notes.txt", "x")
    return {"name": "garden.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}


def test_a_folder_chosen_in_the_page_is_analysed_and_the_demo_stays_apart(start, browser, home, tmp_path):
    server = start(tmp_path / "store")
    page = opened(browser, server.url, scheme="dark")
    page.get_by_text("This is a demo on sample photos").wait_for()
    page.get_by_role("button", name="Add photos").click()
    page.get_by_role("button", name="Choose a folder").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Pictures · 3 photos").click()
    dialog.get_by_role("button", name="class · 2 photos").click()
    dialog.get_by_text("~/Pictures/class").wait_for()
    settle(page)
    assert violations(page) == []
    dialog.get_by_role("button", name="Use class · 2 photos").click()
    dialog.wait_for(state="hidden")
    page.get_by_text("2 photos in class (~/Pictures/class)").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()

    # meanwhile a zip becomes a dataset
    settle(page)
    page.get_by_text("Upload photos").click()
    page.locator("input[type=file]").first.wait_for(state="attached")
    settle(page)
    page.locator("input[type=file]").first.set_input_files(zipped())
    page.get_by_role("button", name="Add 1 file").wait_for()
    settle(page)
    page.get_by_role("button", name="Add 1 file").click()
    page.get_by_text("1 photo is in garden: choose models and start. 1 other file was left out.").wait_for()
    assert [path.name for path in (tmp_path / "store" / "photos" / "garden" / "cats").iterdir()] == ["a.jpg"]

    page.get_by_text(re.compile("Finished: 2 photos")).wait_for(timeout=180_000)
    assert page.evaluate(SIDEWAYS) == [0, 0]
    page.get_by_role("button", name="Explore").first.click()
    page.get_by_role("heading", name="Explore").wait_for()
    page.wait_for_selector("dl.figures")
    assert sorted(tile_names(page)) == ["cats/chelsea.png", "dogs/siamese.jpg"]
    assert "dataset=class" in page.url
    assert page.get_by_text("demo").count() == 0
    assert Store(tmp_path / "store").table()["path"].tolist() == ["cats/chelsea.png", "dogs/siamese.jpg"]

    # the demo again, and back
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("button", name="See the demo").click()
    page.get_by_text("This is the demo on sample photos").wait_for()
    settle(page)
    assert figure(page, "photos of 6") == "6"
    page.get_by_role("button", name="Back to my photos").click()
    page.get_by_text("This is the demo").wait_for(state="hidden")
    settle(page)
    assert figure(page, "photos of 2") == "2"
    assert page.faults == []
