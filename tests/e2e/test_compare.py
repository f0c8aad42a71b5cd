"""Two networks whose masks one can check by eye, on the sample photos: chosen, compared, looked at pixel by pixel."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglib.classes import VOC_CLASSES
from seglib.cli import main
from seglib.masks.png import encode_index_png
from seglib.pipeline.import_masks import import_masks
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.conftest import SAMPLE
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import figure, opened, settle, tile_names, wait_for_figure
from tests.e2e.test_viewer import drawn, hover, pixel

pytestmark = pytest.mark.e2e

CAT, DOG = VOC_CLASSES.index("cat"), VOC_CLASSES.index("dog")
ONLY_A, ONLY_B, OTHER = (0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00), (0xD6, 0x17, 0x7F)
ODD = "cats/tabby.jpg"
"""The photo on which the two disagree; on all others they say the same."""


def masks_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (40, 40) of A, (20, 20) of B. On the odd photo, a quarter of the rows each: A alone sees a cat; A a cat and
    B a dog on the left and a cat on the right; B alone does; nobody sees anything.
    """
    a, b = np.zeros((40, 40), np.uint8), np.zeros((20, 20), np.uint8)
    a[:20] = CAT
    if name != ODD:
        b[:10] = CAT
        return a, b
    b[5:15] = CAT
    b[5:15, :10] = DOG
    return a, b


@pytest.fixture(scope="module")
def uncounted(tmp_path_factory) -> Store:
    """The embedded network's run over the sample, and two runs of constructed masks, `one` and `two`."""
    folder = tmp_path_factory.mktemp("compared")
    run = ["run", str(SAMPLE), "--resize", "64", "--store", str(folder / "store"), "--workers", "0", "--json"]
    assert main.main(run) == 0
    store = Store(folder / "store")
    paths = store.table()["path"].tolist()
    for side, title in enumerate(("one", "two")):
        for path in paths:
            file = (folder / title / path).with_suffix(".png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_index_png(masks_of(path)[side]))
        import_masks(store, open_drawn(folder / title, VOC_CLASSES), title)
    return store


@pytest.fixture
def fresh(uncounted, tmp_path) -> Store:
    """A copy in which no two runs are compared yet."""
    return Store(shutil.copytree(uncounted.path, tmp_path / "store"))


@pytest.fixture(scope="module")
def store(uncounted) -> Store:
    """A copy for tests that do not care."""
    return Store(shutil.copytree(uncounted.path, uncounted.path.parent / "copy"))


def run_of(store: Store, model: str) -> str:
    return next(run.run for run in store.runs() if run.model == model)


def chip(page):
    return page.get_by_role("button", name=re.compile("^A: cat, B: "))


def test_from_the_choice_of_runs_to_a_pixel_on_which_they_differ(start, browser, fresh):
    store = fresh
    server = start(store.path)
    page = opened(browser, f"{server.url}/compare?run={run_of(store, 'one')}", drawn="h1")
    answer = page.locator(".answer p").first
    answer.wait_for(timeout=60_000)  # 13 photos of three runs are counted by themselves
    settle(page)
    assert answer.inner_text().startswith("All 3 runs agree on ")

    # choose: the network goes, one against two stays
    pills = page.locator(".st-key-compare_controls")
    pills.get_by_role("button", name=re.compile("fcn_mobilenet_v2")).first.click()
    page.wait_for_function("new URLSearchParams(location.search).getAll('runs').length === 2")
    agreement = f"{100 - 100 * 1000 / (13 * 1600):.1f}.%"  # 400 only A, 200 other, 400 only B of 13 x 1600 pixels
    page.get_by_text(re.compile(f"^A and B agree on {agreement} of the pixels")).wait_for()
    settle(page)

    # the other figures are drawn when they are asked for
    assert page.locator("dl.figures").count() == 0
    page.get_by_text("All figures").click()
    wait_for_figure(page, "pixel agreement", agreement)
    assert "figures=all" in page.url
    assert "Agreement between models, not accuracy. n = 13 photos" in page.locator("body").inner_text()
    assert tile_names(page)[0] == ODD
    caption = page.locator("figure.tile figcaption").first.inner_text().replace("\xa0", " ")
    assert "38 % agreement" in caption
    assert "A cat, B background 25 %" in caption

    # a cell of the flip matrix keeps its photos, a second click all
    cell = page.get_by_role("button", name=re.compile("of all pixels, .*: A says cat, B says dog"))
    cell.click()
    chip(page).wait_for()
    settle(page)
    assert tile_names(page) == [ODD]
    assert page.get_by_role("button", name=re.compile("A says cat, B says dog"), pressed=True).count() == 1
    page.get_by_role("button", name=re.compile("A says cat, B says dog")).click()
    chip(page).wait_for(state="detached")
    settle(page)
    assert len(tile_names(page)) == 13
    page.get_by_role("button", name=re.compile("A says cat, B says background")).click()
    chip(page).wait_for()
    settle(page)
    assert tile_names(page) == [ODD]
    assert figure(page, "IoU of cat")
    picture = page.request.get(f"{server.url}{page.locator('figure.tile img.mask').first.get_attribute('src')}")
    there = np.asarray(Image.open(io.BytesIO(picture.body())))
    assert [int(there[y, x]) for y, x in ((5, 5), (15, 5), (15, 35), (25, 5), (35, 5))] == [2, 4, 1, 3, 0]

    # the most disagreeing photo in the viewer, with the difference on
    page.locator("figure.tile a").first.click()
    page.get_by_role("heading", name=ODD).wait_for()
    drawn(page)
    settle(page)
    page.locator("figure.tile").first.wait_for(state="detached")  # the page before is gone
    assert "difference=overlay" in page.url
    assert page.locator("canvas").count() == 1
    page.get_by_role("slider", name="Opacity").fill("100")
    assert pixel(page, 0.5, 0.125) == ONLY_A
    assert pixel(page, 0.25, 0.375) == OTHER
    assert pixel(page, 0.5, 0.625) == ONLY_B
    red, green, blue = pixel(page, 0.5, 0.9)  # the photo, in grey
    assert max(red, green, blue) - min(red, green, blue) <= 2
    assert hover(page, 0.25, 0.375).startswith("A cat · B dog · (")
    assert hover(page, 0.5, 0.9).startswith("A background · B background · (")
    legend = page.locator("table.classes").inner_text()
    assert re.search(r"only A\s+25\s%", legend)
    assert re.search(r"only B\s+25\s%", legend)
    assert re.search(r"different class\s+13\s%", legend)
    assert re.search(r"same class\s+13\s%", legend)

    # swipe: A left of the divider, B right of it; by keyboard and by pointer
    page.keyboard.press("d")
    divider = page.get_by_role("slider", name="Divider")
    divider.wait_for()
    one, two = pixel(page, 0.25, 0.375), pixel(page, 0.75, 0.375)
    assert one == two  # cat by A on the left, cat by B on the right
    divider.press("Home")
    assert pixel(page, 0.25, 0.375) != one  # dog by B
    assert divider.get_attribute("aria-valuenow") == "0"
    divider.press("End")
    assert pixel(page, 0.25, 0.375) == one
    for _ in range(5):
        divider.press("PageDown")
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    handle = divider.bounding_box()
    page.mouse.move(handle["x"] + handle["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "10"
    assert pixel(page, 0.25, 0.375) != one
    page.wait_for_function("location.search.includes('difference=swipe')")

    # beside each other again, zoomed together; a reload keeps the mode
    page.get_by_role("button", name="Side by side").click()
    assert page.locator("canvas").count() == 2
    page.get_by_role("button", name="Difference", exact=True).click()
    page.wait_for_function("location.search.includes('difference=overlay')")
    page.reload()
    drawn(page)
    assert page.get_by_role("button", name="Difference", exact=True, pressed=True).count() == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Download photo and mask").click()
    assert download.value.suggested_filename == "tabby-difference.png"
    saved = Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).convert("RGB")
    assert saved.getpixel((saved.width // 2, saved.height // 8)) == ONLY_A
    assert violations(page) == []
    page.get_by_role("button", name="Back to Compare").click()
    chip(page).wait_for()  # the cell is still chosen
    assert page.faults == []
    assert "torch" not in server.loaded()


def test_a_point_opens_its_photo_and_a_pair_of_the_matrix_becomes_a_and_b(start, browser, store):
    a, b = run_of(store, "one"), run_of(store, "two")
    page = opened(browser, f"{start(store.path).url}/compare?run={a}&against={b}&class=dog&figures=all", drawn="h1")
    page.locator("dl.figures").wait_for(timeout=60_000)
    settle(page)
    pairs = page.locator(".st-key-pairwise")
    pairs.get_by_role("button", name=re.compile("of the pixels alike")).nth(1).click()
    page.wait_for_function("b => new URLSearchParams(location.search).get('against') !== b", arg=b)
    settle(page)
    pairs.get_by_role("button", name=re.compile("of the pixels alike")).first.wait_for()
    page.go_back()
    page.wait_for_function("b => new URLSearchParams(location.search).get('against') === b", arg=b)
    settle(page)
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("This address opens on this computer only.").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the report").click()
    assert b"answer" in Path(download.value.path()).read_bytes()
    page.keyboard.press("Escape")
    chart = page.get_by_role("figure", name=re.compile("by the share of dog in A and in B"))
    points = chart.locator("g.trace").last.locator("path.point")
    points.first.scroll_into_view_if_needed()
    box = points.first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".st-key-viewer_controls").wait_for()
    drawn(page)
    settle(page)
    page.locator("figure.tile").first.wait_for(state="detached")  # the page before is gone
    assert "difference=overlay" in page.url
    assert page.faults == []
