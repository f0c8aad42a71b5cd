"""Photos that a visitor brings, the embedded network, and the same numbers as on the command line."""

import contextlib
import csv
import io
import json

import pytest
from PIL import Image

from seglib.cli import main
from seglib.masks.statistics import CONFIDENCE_COLUMNS
from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.dashboard.conftest import fill_store
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, opened, settle

pytestmark = pytest.mark.e2e

PAINTED = """() => [...document.querySelectorAll('*')]
  .flatMap(element => element.shadowRoot ? [...element.shadowRoot.querySelectorAll('canvas')] : [])
  .some(canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size > 50)"""


def run_of(photo, store) -> dict:
    """The report of the command line for this photo alone."""
    (store.parent / "one" / "cats").mkdir(parents=True)
    (store.parent / "one" / "cats" / photo.name).write_bytes(photo.read_bytes())
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main.main(["run", str(store.parent / "one"), "--store", str(store), "--workers", "0", "--json"]) == 0
    return json.loads(out.getvalue())


def test_an_uploaded_photo_has_the_numbers_of_the_command_line(start, browser, tmp_path):
    fill_store(tmp_path / "store")
    (tmp_path / "photos").mkdir()
    (tmp_path / "data").mkdir()
    server = start(tmp_path / "store", "--data", str(tmp_path / "data"))
    before = sorted(path.name for path in (tmp_path / "store").rglob("*"))
    page = opened(browser, f"{server.url}/try", drawn="h1")
    photo, broken = SAMPLE / "cats" / "chelsea.png", tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    page.locator("input[type=file]").set_input_files([str(photo), str(broken)])
    page.get_by_text("broken.jpg: It cannot be read").wait_for(timeout=120_000)
    page.get_by_role("heading", name="Figures").wait_for()
    page.wait_for_function(PAINTED)
    settle(page)
    assert violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    with open(download.value.path(), newline="") as file:
        (row,) = csv.DictReader(file)
    assert page.evaluate(SIDEWAYS) == [0, 0]
    assert "torch" not in server.loaded()
    assert sorted(path.name for path in (tmp_path / "store").rglob("*")) == before  # nothing is stored
    assert list((tmp_path / "data").iterdir()) == []

    report = run_of(photo, tmp_path / "elsewhere")
    kept = Store(tmp_path / "elsewhere").table().iloc[0]
    assert (row["run"], row["image_id"]) == (report["run"], kept["image_id"])
    integers = [name for name in kept.index if name.startswith(("px:", "blobs:", "grid_"))]
    assert {name: int(row[name]) for name in integers} == {name: int(kept[name]) for name in integers}
    for name in CONFIDENCE_COLUMNS:
        assert float(row[name]) == pytest.approx(float(kept[name]), abs=1e-5)
    share = round(100 * kept["px:cat"] / (kept["grid_width"] * kept["grid_height"]))
    assert page.locator(".grid tr", has_text="cat").first.inner_text().split()[1] == str(share)
    assert page.faults == []


def test_a_photo_is_kept_when_asked_and_found_as_a_run(start, browser, tmp_path):
    fill_store(tmp_path / "store")
    (tmp_path / "photos").mkdir()
    (tmp_path / "data").mkdir()
    server = start(tmp_path / "store", "--data", str(tmp_path / "data"))
    page = opened(browser, f"{server.url}/try", drawn="h1", scheme="dark", width=390)
    Image.new("RGB", (64, 48), (90, 120, 60)).save(tmp_path / "plain.jpg")
    page.locator("input[type=file]").set_input_files(str(tmp_path / "plain.jpg"))
    page.get_by_text("Writes 1 photo into the folder data/uploads").wait_for(timeout=120_000)
    assert page.evaluate(SIDEWAYS) == [0, 0]
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("heading", name="Runs", exact=True).wait_for()
    page.get_by_text("Finished: 1 photo").wait_for(timeout=120_000)
    (file,) = (tmp_path / "data" / "uploads").iterdir()
    assert file.read_bytes() == (tmp_path / "plain.jpg").read_bytes()
    assert Store(tmp_path / "store").count_rows(Store(tmp_path / "store").run()) == 1
    assert page.faults == []
