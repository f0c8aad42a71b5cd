"""The viewer in a real browser, on masks that one can check by eye, and on the sample photos."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.dashboard.conftest import PHOTO_WH, fill_store, make_run_config, real_id
from tests.e2e.pages import new_page
from tests.e2e.test_dashboard import FOCUSED, SIDEWAYS, opened, settle, tile_names

pytestmark = pytest.mark.e2e

CAT = (0x56, 0xB4, 0xE9)
"""Of the Okabe-Ito palette."""

PIXEL = """(canvas, [x, y]) => [...canvas.getContext("2d")
  .getImageData(Math.floor(canvas.width * x), Math.floor(canvas.height * y), 1, 1).data].slice(0, 3)"""

ONE_FRAME = """async (slider) => {
  const canvas = slider.getRootNode().querySelector("canvas");
  const pixel = () => canvas.getContext("2d").getImageData(canvas.width / 2, 5, 1, 1).data.join();
  const before = pixel();
  slider.value = "100";
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise(requestAnimationFrame);
  return before !== pixel();
}"""


def known_in(folder: Path) -> Path:
    """Six photos of one colour each, and two runs. `cats/c.jpg`: cat in the upper fifth, then a tenth of person."""
    fill_store(folder / "store", code_schema=2, real=True, pixels={"cats/c.jpg": {"dog": 50}})
    fill_store(folder / "store", real=True)
    return folder / "store"


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Path:
    return known_in(tmp_path_factory.mktemp("known"))


def viewed(browser, url: str, *, width: int = 1440, scheme: str = "light"):
    """A page with a drawn viewer; its faults and what it sends to the server are collected."""
    page = new_page(browser, url, width=width, scheme=scheme)
    page.sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: page.sent.append(1)))
    page.goto(url)
    drawn(page)
    settle(page)
    return page


def drawn(page) -> None:
    page.locator("canvas[aria-busy=false]").first.wait_for()
    page.wait_for_function("""() => [...document.querySelectorAll('*')]
      .map((element) => element.shadowRoot?.querySelector('canvas')).filter(Boolean)
      .some((canvas) => canvas.getContext('2d').getImageData(1, 1, 1, 1).data[3] === 255)""")


def pixel(page, x: float, y: float, run: int = 0) -> tuple[int, ...]:
    """The colour at a place (0..1 each way) of a run's canvas."""
    page.evaluate("new Promise(requestAnimationFrame)")
    return tuple(page.locator("canvas").nth(run).evaluate(PIXEL, [x, y]))


def hover(page, x: float, y: float, run: int = 0) -> str:
    """What the viewer says of this place."""
    box = page.locator("canvas").nth(run).bounding_box()
    page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
    page.evaluate("new Promise(requestAnimationFrame)")
    return page.locator(".readout").nth(run).inner_text()


def place_of(said: str) -> tuple[int, ...]:
    """The photo's pixel in what the viewer says."""
    return tuple(map(int, re.findall(r"\d+", said.split("(")[1])))


def test_the_viewer_is_the_browsers_own_work(start, browser, known):
    server = start(known)
    image = real_id("cats/c.jpg")
    page = viewed(
        browser, f"{server.url}/image?image={image}&run={make_run_config().run_name}&runs={make_run_config().run_name}"
    )
    canvas = page.locator("canvas")
    assert canvas.get_attribute("aria-label") == "cats/c.jpg, fake_net · 64x64 · fp32 · " + (
        f"{make_run_config().run_name[-8:]}: cat 20 %, person 10 %"
    )
    bare = pixel(page, 0.5, 0.9)
    page.sent.clear()

    # hover names the class of three known pixels, and where they are in the photo
    for place, name in (((0.5, 0.05), "cat"), ((0.25, 0.25), "person"), ((0.75, 0.8), "background")):
        said = hover(page, *place)
        assert said.split(" · ")[0] == name
        assert place_of(said) == pytest.approx((400 * place[0], 300 * place[1]), abs=1)

    # the mask is painted in the class's colour at the opacity; background is the photo itself
    blend = tuple(round(0.55 * mask + 0.45 * photo) for mask, photo in zip(CAT, bare, strict=True))
    assert pixel(page, 0.5, 0.05) == pytest.approx(blend, abs=2)
    assert page.get_by_role("slider", name="Opacity").evaluate(ONE_FRAME)  # drawn before the next frame is over
    assert pixel(page, 0.5, 0.05) == pytest.approx(CAT, abs=1)

    # a class off and on: by click, by its number, all by 0
    toggle = page.get_by_role("button", name="cat", exact=True)
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "false"
    assert pixel(page, 0.5, 0.05) == bare
    assert pixel(page, 0.5, 0.25) != bare
    page.keyboard.press("2")
    assert pixel(page, 0.5, 0.25) == bare
    page.keyboard.press("0")
    assert pixel(page, 0.5, 0.05) == pytest.approx(CAT, abs=1)

    # borders alone, the mask off, the photo alone while space is held
    page.keyboard.press("b")
    assert pixel(page, 0.5, 0.05) == bare
    assert pixel(page, 0.5, 0.2) != bare
    page.keyboard.press("b")
    page.keyboard.press("m")
    assert pixel(page, 0.5, 0.05) == bare
    page.keyboard.press("m")
    canvas.focus()
    page.keyboard.down(" ")
    assert pixel(page, 0.5, 0.05) == bare
    page.keyboard.up(" ")
    page.keyboard.press("-")
    assert pixel(page, 0.5, 0.05) != pytest.approx(CAT, abs=1)
    assert page.locator(".percent").inner_text() == "90 %"

    # the wheel zooms around the pixel under the pointer
    hover(page, 0.25, 0.25)
    page.mouse.wheel(0, -400)
    page.wait_for_function("e => e.textContent !== '100 %'", arg=page.locator(".zoom").element_handle())
    assert place_of(page.locator(".readout").inner_text()) == pytest.approx((100, 75), abs=1)
    assert place_of(hover(page, 0.9, 0.9)) != pytest.approx((360, 270), abs=5)
    page.keyboard.press("f")
    assert place_of(hover(page, 0.9, 0.9)) == pytest.approx((360, 270), abs=1)

    # Streamlit's own keys do not reach it from here
    canvas.focus()
    page.keyboard.press("c")
    page.keyboard.press("r")
    assert page.get_by_role("dialog").count() == 0

    # the address follows, and the server heard nothing of all this
    page.wait_for_function("location.search.includes('opacity=90')")
    assert page.sent == []
    page.reload()
    drawn(page)
    assert page.locator(".percent").inner_text() == "90 %"
    assert page.faults == []


def test_two_runs_are_zoomed_together_and_one_is_downloaded(start, browser, known):
    page = viewed(browser, f"{start(known).url}/image?image={real_id('cats/c.jpg')}")
    assert page.locator("canvas").count() == 2
    page.locator("canvas[aria-busy=false]").nth(1).wait_for()
    assert page.locator(".note").is_hidden()
    hover(page, 0.3, 0.1)
    assert [text.split(" · ")[0] for text in page.locator(".readout").all_inner_texts()] in (
        ["cat", "dog"],
        ["dog", "cat"],
    )
    page.mouse.wheel(0, -600)
    page.wait_for_function("e => e.textContent !== '100 %'", arg=page.locator(".zoom").element_handle())
    zoomed = [place_of(hover(page, 0.8, 0.7, run)) for run in (0, 1)]
    assert zoomed[0] == pytest.approx(zoomed[1], abs=1)
    assert zoomed[0] != pytest.approx((320, 210), abs=5)
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 100, steps=3)
    page.mouse.up()
    moved = [place_of(hover(page, 0.8, 0.7, run)) for run in (0, 1)]
    assert moved[0] == pytest.approx(moved[1], abs=1)
    assert moved[0][0] > zoomed[0][0] + 5

    with page.expect_download() as download:
        page.get_by_role("button", name="Download photo and mask").first.click()
    shown = page.locator("figcaption .save").first.get_attribute("aria-label")
    assert download.value.suggested_filename in (
        f"c-{make_run_config().run_name}.png",
        f"c-{make_run_config(2).run_name}.png",
    )
    assert download.value.suggested_filename.removesuffix(".png")[-8:] in shown
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert (picture.format, picture.size) == ("PNG", PHOTO_WH)
    assert picture.getpixel((200, 15))[:3] != picture.getpixel((200, 290))[:3]
    assert page.faults == []


def test_from_the_gallery_to_a_photo_and_on_to_the_next(start, browser, known):
    server = start(known)
    page = opened(browser, f"{server.url}/explore?label=cats&run={make_run_config().run_name}")
    assert tile_names(page) == ["cats/a.jpg", "cats/b.jpg", "cats/c.jpg"]
    page.locator("figure.tile a").nth(1).click()
    page.get_by_role("heading", name="cats/b.jpg").wait_for()
    drawn(page)
    assert page.locator(".position").inner_text() == "2 of 3"
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="cats/c.jpg").wait_for()
    assert page.locator(".position").inner_text() == "3 of 3"
    assert f"image={real_id('cats/c.jpg')}" in page.url
    settle(page)
    assert page.get_by_role("button", name="Next image").is_disabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.get_by_role("heading", name="cats/a.jpg").wait_for()
    settle(page)
    assert page.locator(".position").inner_text() == "1 of 3"
    assert page.title() == "a.jpg · Image · Segmentation dashboard"

    # the keys are listed, and Escape closes the list wherever the focus is; the photo is selected by its key
    page.keyboard.press("?")
    page.locator(".help").wait_for()
    page.keyboard.press("Escape")
    page.locator(".help").wait_for(state="hidden")
    page.keyboard.press("s")
    page.get_by_text("Selected 1").wait_for()
    settle(page)
    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Tag this photo"

    # Back leads to the gallery at once, however many photos were looked at, and to the last of them
    page.go_back()
    page.get_by_role("heading", name="Explore").wait_for()
    settle(page)
    assert page.evaluate(FOCUSED) == "cats/a.jpg"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="cats/a.jpg").wait_for()
    drawn(page)
    assert page.evaluate(FOCUSED).startswith("cats/a.jpg, fake_net")
    assert page.locator(".position").inner_text() == "1 of 1"  # of the selected ones
    page.get_by_role("button", name="Back to Explore").click()
    page.get_by_role("heading", name="Explore").wait_for()
    assert page.faults == []


def test_where_the_network_was_unsure_is_computed_outside_of_the_server(start, browser, sampled):
    server = start(sampled)  # the launcher analyses the sample with the embedded networks
    page = viewed(browser, f"{server.url}/image?palette=voc", width=390, scheme="dark")
    assert page.evaluate(SIDEWAYS) == [0, 0]
    before = [pixel(page, x / 10, 0.5) for x in range(1, 10)]
    page.sent.clear()
    page.keyboard.press("u")
    page.get_by_text("Computing where the model was unsure").wait_for()
    page.get_by_text("Computing where the model was unsure").wait_for(state="detached", timeout=60_000)
    assert page.locator(".status").all_inner_texts() == ["", ""]
    assert [pixel(page, x / 10, 0.5) for x in range(1, 10)] != before
    assert re.fullmatch(r"\w+ · uncertainty [01]\.\d\d · \(\d+, \d+\)", hover(page, 0.5, 0.5))
    assert page.sent == []
    assert "torch" not in server.loaded()
    assert list((sampled / "demo" / "cache" / "uncertainty").rglob("*.png"))
    assert page.evaluate(SIDEWAYS) == [0, 0]
    assert page.faults == []


def test_a_map_that_cannot_be_had_is_a_sentence_in_the_viewer(start, browser, tmp_path):
    known = known_in(tmp_path)
    page = viewed(
        browser,
        f"{start(known).url}/image?uncertainty=on&runs={make_run_config().run_name}&run={make_run_config().run_name}",
    )
    page.get_by_text("'fake_net', which this program does not know").wait_for()
    (known.parent / "photos" / "cats" / "a.jpg").unlink()
    page.reload()
    page.get_by_text("The file is no longer where it was scanned, so there is nothing").wait_for()
    page.get_by_text("The file is no longer where it was scanned: this is its thumbnail from then.").wait_for()
    assert page.faults == []
