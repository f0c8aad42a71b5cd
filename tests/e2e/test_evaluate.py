"""Runs against ground-truth masks, in a real browser: from the form to a pixel; and the report, from disk."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seglib.classes import VOC_CLASSES, palette
from seglib.evaluation import comparison, evaluation, truth_counting
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.conftest import ROOT
from tests.dashboard.conftest import PHOTO_WH, PIXELS, draw_truth, fill_store, make_run_config
from tests.dashboard.judged import judge
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, figure, opened, settle, tile_names, wait_for_figure
from tests.e2e.test_viewer import drawn, hover, pixel

pytestmark = pytest.mark.e2e

RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name


def store_in(folder: Path) -> Store:
    """Two runs over six photos; three of these have a mask in `data/masks`. Nothing is evaluated."""
    fill_store(folder / "store", real=True)
    fill_store(folder / "store", real=True, code_schema=2, pixels=PIXELS | {"cats/a.jpg": {"cat": 60}})
    draw_truth(folder / "data" / "masks", size_wh=PHOTO_WH)
    return Store(folder / "store")


@pytest.fixture
def store(tmp_path) -> Store:
    return store_in(tmp_path)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Store:
    store = store_in(tmp_path_factory.mktemp("evaluated"))
    truth_counting.update_counts(store, open_drawn(store.path.parent / "data" / "masks"), [RUN, OTHER])
    return store


@pytest.fixture(scope="module")
def report(evaluated, tmp_path_factory) -> Path:
    """Its report, far from the store."""
    out = tmp_path_factory.mktemp("elsewhere") / "report.html"
    command = [sys.executable, "-m", "dashboard", "report", "--store", str(evaluated.path), "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return out


def test_from_a_folder_of_masks_to_a_pixel_that_is_wrong(start, browser, store, monkeypatch):
    server = start(store.path, "--data", str(store.path.parent / "data"))
    page = opened(browser, f"{server.url}/evaluate?run={RUN}")
    assert "no ground truth yet" in page.locator("body").inner_text()
    page.get_by_role("button", name="Evaluate", exact=True).click()
    page.locator(".answer").wait_for(timeout=60_000)
    page.get_by_text("All figures").click()
    page.locator("dl.figures").wait_for()
    settle(page)

    # figures are the library's
    found = evaluation.load_evaluation(store, ground_truth.list_truths(store)[0], RUN)
    shown = {name: f"{100 * found.measures[name].overall():.1f}\xa0%" for name in ("pixel_accuracy", "miou")}
    assert figure(page, "pixel accuracy") == shown["pixel_accuracy"]
    assert page.locator(".answer p").first.inner_text().startswith(f"mIoU {shown['miou']} (")
    assert "cat taken for dog 30\xa0%" in page.locator("figure.tile figcaption").first.inner_text()
    assert tile_names(page) == ["cats/b.jpg", "cats/a.jpg", "dogs/d.jpg"]
    page.get_by_test_id("stSidebar").get_by_role("button", name=re.compile("^dogs")).click()
    wait_for_figure(page, "pixel accuracy", "100.0.%")
    page.get_by_test_id("stSidebar").get_by_role("button", name=re.compile("^dogs")).click()
    wait_for_figure(page, "pixel accuracy", "86.7.%")

    # a cell of the confusion matrix keeps its photos
    page.get_by_role("button", name=re.compile("of cat is called background")).click()
    page.locator(".st-key-chip-cell").wait_for()
    settle(page)
    assert tile_names(page) == ["cats/a.jpg"]
    page.locator(".st-key-chip-cell").get_by_role("button").click()
    page.locator(".st-key-chip-cell").wait_for(state="detached")
    settle(page)
    assert violations(page) == []

    # the same masks, ranked by how likely they are wrong
    judge(store, RUN, store.path.parent / "data" / "masks", monkeypatch)
    page.get_by_text("Likely mistakes in the ground truth").click()
    page.get_by_text("label quality").first.wait_for()
    settle(page)
    assert tile_names(page) == ["cats/b.jpg", "cats/a.jpg", "dogs/d.jpg"]
    assert "Labelled cat, the model sees dog: 30.0" in page.locator("figure.tile figcaption").first.inner_text()
    masks = page.locator("figure.tile img[src*='/doubts/']")
    assert masks.evaluate_all("all => all.map((image) => image.naturalWidth)") == [10, 10, 10]
    assert violations(page) == []
    page.get_by_text("Worst photos", exact=True).first.click()
    page.get_by_text("label quality").first.wait_for(state="detached")
    settle(page)

    # the worst photo, with the truth beside what the run said
    page.locator("figure.tile a").first.click()
    page.get_by_role("heading", name="cats/b.jpg").wait_for()
    drawn(page)
    # first what is wrong, as in the gallery: the truth is a cat, the run says dog
    assert page.locator("figcaption").inner_text().startswith("T")
    assert hover(page, 0.05, 0.05).startswith("T cat · 1 dog")
    legend = page.locator("table.classes").inner_text()
    assert re.search(r"wrong class\s+30\s%", legend)
    assert "missed" in legend
    page.get_by_role("button", name="Side by side").click()
    drawn(page)
    assert "Truth: masks" in page.locator("figcaption").all_inner_texts()[-1]
    last = page.locator("canvas").count() - 1
    page.get_by_role("slider", name="Opacity").fill("100")
    colours = palette("okabe-ito")
    assert pixel(page, 0.05, 0.05) == tuple(colours[VOC_CLASSES.index("dog")])
    assert pixel(page, 0.05, 0.05, last) == tuple(colours[VOC_CLASSES.index("cat")])
    assert hover(page, 0.05, 0.05, last).startswith("cat")
    assert page.faults == []


@pytest.mark.parametrize("width", [1440, 390])
def test_the_form_shows_how_masks_are_read_before_anything_is_computed(start, browser, store, width):
    data = store.path.parent / "data"
    shutil.copytree(ROOT / "dataset" / "sample", data / "sample")
    draw_truth(data / "others", {"x/1.jpg": {"cat": 5}})
    server = start(store.path, "--data", str(data))
    page = opened(browser, f"{server.url}/evaluate?run={RUN}", width=width, scheme="dark" if width == 390 else "light")
    previews = page.locator(".previews img")
    previews.first.wait_for()
    settle(page)
    assert "3 of 6 photos have a mask · read as VOC indices: background, cat, dog." in page.locator("body").inner_text()
    assert previews.evaluate_all("all => all.map((image) => image.alt)") == [
        f"{name} under its mask: {found}\xa0%"
        for name, found in (("cats/a.jpg", "cat 60"), ("cats/b.jpg", "cat 30"), ("dogs/d.jpg", "dog 80"))
    ]
    assert previews.evaluate_all("all => all.every((image) => image.complete && image.naturalWidth > 0)")
    assert max(page.evaluate(SIDEWAYS)) <= 0
    assert violations(page) == []
    page.get_by_role("combobox", name="Folder of masks").click()
    page.get_by_role("option").first.wait_for()
    assert page.get_by_role("option").all_inner_texts() == ["data/masks", "data/masks/cats", "data/masks/dogs"]
    page.keyboard.press("Escape")
    assert ground_truth.list_truths(store) == []
    assert page.faults == []


def test_a_second_evaluation_is_started_from_the_popover(start, browser, evaluated):
    server = start(evaluated.path, "--data", str(evaluated.path.parent / "data"))
    page = opened(browser, f"{server.url}/evaluate?run={RUN}", drawn=".answer")
    assert page.locator(".previews").count() == 0
    page.get_by_role("button", name="New evaluation").click()
    page.locator(".previews img").first.wait_for()
    settle(page)
    assert [
        one for one in violations(page) if "data-floating-ui-portal" not in one
    ] == []  # Streamlit's own place of it
    page.get_by_role("button", name="Evaluate", exact=True).click()
    page.locator(".previews").wait_for(state="detached")  # it closes, and the progress is seen
    page.get_by_text("it goes on without this page").wait_for(state="detached")
    settle(page)
    assert page.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_from_disk_without_a_network(browser, evaluated, report, scheme):
    agreed = comparison.load_comparison(evaluated, [RUN, OTHER]).consensus_figure()
    for width in (1440, 390):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        page, asked, said = context.new_page(), [], []
        page.on("request", lambda request, to=asked: to.append(request.url))
        page.on("console", lambda message, to=said: to.append(message.text))
        page.on("pageerror", lambda error, to=said: to.append(str(error)))
        page.goto(report.as_uri())
        pictures = page.locator("img")
        assert pictures.count() == 2 * 6 + 2 * 3
        assert pictures.evaluate_all("all => all.every((image) => image.complete && image.naturalWidth > 0)")
        assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
        assert said == []
        assert f"{100 * agreed.value:.1f}" in page.locator("dl.figures").first.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        page.locator("section").last.scroll_into_view_if_needed()
        ground, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert ground != ink
        assert (sum(map(int, re.findall(r"\d+", ground))) > 3 * 128) == (scheme == "light")
        if width == 1440:
            assert _serious(page) == []
        context.close()


def _serious(page) -> list[str]:
    """As `violations`; the check's own script is no part of the page, whose policy would refuse it."""
    session = page.context.new_cdp_session(page)
    session.send("Page.setBypassCSP", {"enabled": True})
    page.reload()
    return violations(page)
