"""The main job in a real browser: from an empty store to a shared link and an export, on the sample photos."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from seglib.cli import main
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY
from tests.e2e.pages import new_page, settle

pytestmark = pytest.mark.e2e

SEEN_PICTURES_ARE_THERE = """() => [...document.querySelectorAll('*')]
  .flatMap(element => element.shadowRoot ? [...element.shadowRoot.querySelectorAll('img')] : [])
  .filter(image => image.getBoundingClientRect().top < innerHeight)
  .every(image => image.complete && image.naturalWidth > 0)"""
SIDEWAYS = """[document.documentElement, document.querySelector('[data-testid=stMain]')]
  .map(element => element.scrollWidth - element.clientWidth)"""


FOCUSED = """() => {
  const active = document.activeElement?.shadowRoot?.activeElement ?? document.activeElement;
  return active.getAttribute("aria-label") ?? active.closest("figure")?.querySelector(".name").textContent;
}"""
"""The name of the element that has the focus."""

DRAWN = "dl.figures, [data-testid=stAlert]"
NUMBER = "dd b, dd:not(:has(b))"

PHOTOS_IN_VIEW = """() => [...document.querySelectorAll('*')]
  .flatMap(element => element.shadowRoot ? [...element.shadowRoot.querySelectorAll('figure')] : [])
  .filter(figure => figure.getBoundingClientRect().top >= 0 && figure.getBoundingClientRect().bottom <= innerHeight)
  .length"""
"""Photos that are seen whole, with their captions, without scrolling."""


def opened(browser, url: str, *, scheme: str = "light", width: int = 1440, drawn: str = DRAWN, **options):
    """A new page, drawn; its faults are collected in `page.faults`."""
    page = new_page(browser, url, scheme=scheme, width=width, **options)
    visit(page, url, drawn)
    return page


def visit(page, url: str, drawn: str = DRAWN) -> None:
    page.goto(url)
    page.wait_for_selector(drawn)
    settle(page, last=".chart-place")  # on the first page the charts come last


def figure(page, meaning: str) -> str:
    """The key figure with these words in its label or detail."""
    return page.locator("dl.figures > div", has_text=meaning).locator(NUMBER).inner_text()


def wait_for_figure(page, meaning: str, value: str) -> None:
    page.locator("dl.figures > div", has_text=meaning).locator(NUMBER, has_text=re.compile(f"^{value}$")).wait_for()
    settle(page)


def tile_names(page) -> list[str]:
    page.locator("figure.tile").first.wait_for()
    return page.locator("figure.tile .name").all_inner_texts()


def assert_photos_in_view(page, least: dict[int, int]) -> None:
    """`least`: width of the window -> photos seen whole without scrolling, on a screen, a projector and a phone."""
    found = {}
    for width, height in ((390, 844), (1024, 768), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        found[width] = page.evaluate(PHOTOS_IN_VIEW)
    assert all(found[width] >= number for width, number in least.items()), found


def wheres(url: str) -> str:
    """The filter part of a page's address, as one would paste it after --where."""
    filters = [part for part in urlsplit(url).query.split("&") if not part.startswith(("run=", "sort=", "show="))]
    return "&".join(filters)


def test_the_home_page_is_found_by_its_name_too(start, browser, small):
    server = start(small)
    page = opened(browser, f"{server.url}/overview?label=cats")
    assert urlsplit(page.url).path == "/"
    assert figure(page, "photos of 6") == "3"
    assert page.get_by_role("dialog").count() == 0
    page.locator("dl.figures dd").first.focus()  # what the figure means is seen, and not cut off
    box = page.get_by_role("tooltip").bounding_box()
    for x in (10, box["width"] - 10):
        at = [box["x"] + x, box["y"] + box["height"] - 8]
        assert page.evaluate("at => document.elementFromPoint(...at).role", at) == "tooltip"


def test_from_an_empty_store_to_a_shared_link_and_an_export(start, browser, sampled, tmp_path):
    store = sampled / "demo"
    server = start(sampled)
    assert "13 photos analysed" in server.read_log()
    assert "torch" not in server.loaded()
    page = opened(browser, server.url, permissions=["clipboard-read", "clipboard-write"])
    assert figure(page, "photos of 13") == "13"
    assert_photos_in_view(page, {1440: 12, 1024: 12, 390: 4})  # those of the strip

    # filter to cats: the count and the gallery follow
    page.get_by_role("link", name="Explore").click()
    page.locator("figure.tile").first.wait_for()
    settle(page)
    assert len(tile_names(page)) == 13
    assert_photos_in_view(page, {1440: 4, 1024: 3, 390: 1})
    page.get_by_test_id("stSidebar").get_by_role("button", name="cats").click()
    wait_for_figure(page, "photos of 13", "7")
    page.wait_for_function("document.querySelector('dl.figures') && location.search.includes('label=cats')")
    assert all(name.startswith("cats/") for name in tile_names(page))
    assert figure(page, "photos of 13") == "7"

    # the pictures are really there
    page.wait_for_function(SEEN_PICTURES_ARE_THERE)

    # the copied link, in another browser, after a restart
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("This address opens on this computer only.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    names = tile_names(page)
    assert page.faults == []
    server.stop()
    again = start(sampled)
    other = opened(browser, link.replace(server.url, again.url))
    assert figure(other, "photos of 13") == "7"
    assert tile_names(other) == names
    assert other.get_by_role("button", name="Folder: cats").count() == 1

    # what is downloaded is what the shell exports
    other.get_by_role("button", name="Export").click()
    with other.expect_download() as download:
        other.get_by_role("button", name="Everything (CSV)").click()
    run = Store(store).run().run
    out = tmp_path / "shell.csv"
    command = ["export", "stats", "--store", str(store), "--run", run, "--out", str(out)]
    assert main.main([*command, "--where", wheres(other.url)]) == 0
    assert Path(download.value.path()).read_bytes() == out.read_bytes()
    assert out.read_text().count("\n") == 8
    assert "torch" not in again.loaded()
    assert other.faults == []
    assert Filters.decode(wheres(other.url)) == Filters({"label": ("cats",)})


def test_contradictions_cells_chips_and_back(start, browser, small):
    page = opened(browser, start(small).url)
    page.get_by_role("button", name="1 photo: folder cats, model sees dog").click()
    page.get_by_role("heading", name="Explore").wait_for()
    wait_for_figure(page, "photos of 6", "1")
    assert tile_names(page) == ["cats/b.jpg"]
    assert page.locator(".warning").inner_text() == "folder cats, model dog"
    page.get_by_role("button", name="Content: dog").click()
    wait_for_figure(page, "photos of 6", "3")
    page.get_by_role("button", name="Clear all", exact=True).last.click()
    wait_for_figure(page, "photos of 6", "6")
    page.go_back()
    wait_for_figure(page, "photos of 6", "3")
    page.reload()
    wait_for_figure(page, "photos of 6", "3")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("heading", name="Overview").wait_for()
    wait_for_figure(page, "photos of 6", "3")
    page.get_by_role("button", name="Show the 1 contradiction").click()
    wait_for_figure(page, "photos of 6", "1")
    assert page.faults == []


def test_the_overlay_is_the_browsers_own_work_and_is_kept_in_the_url(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore")
    mask = page.locator("figure.tile img.mask").first
    mask.wait_for()
    assert float(mask.evaluate("e => getComputedStyle(e).opacity")) == pytest.approx(0.55)
    requests = []
    page.on("request", lambda request: requests.append(request.url) if "/media-api/" in request.url else None)
    page.get_by_label("Opacity").fill("20")
    assert float(mask.evaluate("e => getComputedStyle(e).opacity")) == pytest.approx(0.2)
    page.get_by_label("Path contains").press_sequentially("o")  # typing is no command
    assert mask.evaluate("e => getComputedStyle(e).visibility") == "visible"
    page.get_by_label("Path contains").fill("")
    page.get_by_role("heading", name="Explore").click()
    settle(page)
    page.keyboard.press("o")
    assert mask.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    page.wait_for_function("location.search.includes('opacity=20') && location.search.includes('overlay=off')")
    settle(page)
    assert mask.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    assert requests == []
    page.reload()
    mask.wait_for(state="attached")
    settle(page)
    assert mask.evaluate("e => getComputedStyle(e).visibility") == "hidden"
    assert page.get_by_label("Opacity").input_value() == "20"
    assert page.faults == []


def test_names_are_shown_as_they_are_and_run_nothing(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore?path=%3Cimg")
    page.on("dialog", lambda dialog: page.faults.append(f"a dialog: {dialog.message}"))
    assert tile_names(page) == [NASTY]
    chip = page.get_by_role("button", name="Path contains: <img")
    assert chip.count() == 1
    page.goto(f"{page.url.split('?')[0]}?path={'%20'.join(NASTY.split(' '))}")
    wait_for_figure(page, "photos of 6", "1")
    assert NASTY in page.locator(".st-key-chips button").first.inner_text()
    assert page.locator("img[src=x]").count() == 0
    assert page.faults == []


def test_a_server_refuses_what_is_no_picture(start, browser, small):
    server = start(small)
    page = browser.new_context().new_page()
    for path in ("thumb/..%2f..%2fstore.json", "thumb/%2e%2e/store.json", "photo/x.jpg", "", "overlay/a/b.png"):
        answer = page.request.get(f"{server.url}/media-api/{path}")
        assert answer.status in (400, 404)
        assert "image" not in answer.headers.get("content-type", "")
        assert str(small) not in answer.text()
