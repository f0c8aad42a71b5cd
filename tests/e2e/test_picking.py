"""Picking photos, tags and the keyboard, in a real browser."""

import re

import pytest

from seglib.query.columns import split_tags
from seglib.store import tags
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, id_of
from tests.e2e.test_dashboard import opened, settle, tile_names, wait_for_figure

pytestmark = pytest.mark.e2e

FOCUSED = """() => {
  let element = document.activeElement;
  while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element.closest('figure.tile')?.querySelector('.name').textContent ?? element.textContent.trim();
}"""


@pytest.fixture
def many(tmp_path):
    """A store of 100 photos: three pages."""
    fill_store(tmp_path / "many", pixels={f"cats/{n:03}.jpg": {"cat": n} for n in range(100)})
    (tmp_path / "photos").mkdir()
    return tmp_path / "many"


def picked(page) -> list[str]:
    return [name.split("/")[-1] for name in page.locator("figure.tile.picked .name").all_inner_texts()]


def bar(page, text: str):
    """The bar of what can be done, once it says this."""
    found = page.locator(".st-key-picks", has_text=text)
    found.wait_for()
    settle(page)
    return found


def tag_them(page, name: str) -> None:
    box = page.get_by_label("Tag the selected photos")
    box.fill(name)
    page.keyboard.press("Enter")
    settle(page)


def present(store) -> dict[str, list[str]]:
    return {str(i): split_tags(joined) for i, joined in tags.tags_by_image(Store(store)).items()}


def test_pick_by_click_and_range_tag_filter_export_and_undo(start, browser, many):
    page = opened(browser, f"{start(many).url}/explore")
    tile_names(page)
    checks = page.get_by_role("checkbox", name=re.compile("^Select cats"))
    checks.nth(1).click()
    checks.nth(4).click(modifiers=["Shift"])
    checks.nth(2).click()
    assert picked(page) == ["001.jpg", "003.jpg", "004.jpg"]
    bar(page, "3 photos selected")

    # the next page: what was picked before stays picked
    page.get_by_role("button", name="Next page").click()
    page.locator("figure.tile .name", has_text="048.jpg").wait_for()
    assert picked(page) == []
    checks.nth(0).click()
    bar(page, "4 photos selected")
    tag_them(page, "to look at")
    bar(page, "Undo: tag to look at, 4 photos")
    expected = {id_of(f"cats/{n:03}.jpg"): ["to look at"] for n in (1, 3, 4, 48)}
    assert present(many) == expected
    assert page.locator("figure.tile .tags").all_inner_texts() == ["to look at"]

    # the tag is a filter, in the URL and in the export
    page.get_by_test_id("stSidebar").get_by_role("button", name=re.compile("^to look at")).click()
    wait_for_figure(page, "photos of 100", "4")
    assert "tag=to" in page.url
    assert [name[-7:] for name in tile_names(page)] == ["001.jpg", "003.jpg", "004.jpg", "048.jpg"]
    bar(page, "4 photos selected").get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Everything (CSV)").click()
    rows = download.value.path().read_text().splitlines()
    assert len(rows) == 5
    assert rows[0].endswith(",tags")
    assert all(row.endswith(",to look at") for row in rows[1:])

    page.get_by_role("button", name=re.compile("Undo: tag to look at")).click()
    wait_for_figure(page, "photos of 100", "0")
    assert present(many) == {}
    assert page.faults == []


def test_all_in_the_filter_are_picked_and_let_go(start, browser, many):
    page = opened(browser, f"{start(many).url}/explore?path=cats%2F0")
    tile_names(page)
    page.get_by_role("button", name="Select page").click()
    bar(page, "48 photos selected")
    page.get_by_role("button", name="Unselect page").click()
    page.locator(".st-key-picks").wait_for(state="detached")
    page.get_by_role("button", name="Select all 100 photos").click()
    bar(page, "100 photos selected")
    page.get_by_role("checkbox", name="Select cats/003.jpg").click()
    bar(page, "99 photos selected")
    tag_them(page, "most")
    bar(page, "Undo: tag most, 99 photos")
    assert len(present(many)) == 99
    page.get_by_role("heading", name="Explore").click()
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.st-key-picks').innerText.includes('selected')")
    assert picked(page) == []
    assert page.faults == []


def test_everything_by_keyboard_alone(start, browser, many):
    page = opened(browser, f"{start(many).url}/explore")
    tile_names(page)
    page.get_by_role("button", name="Select all 100 photos").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "19 more classes"  # of the legend
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "cats/000.jpg"
    for key, there in (("ArrowRight", "001"), ("End", "047"), ("Home", "000"), ("ArrowLeft", "000")):
        page.keyboard.press(key)
        assert page.evaluate(FOCUSED) == f"cats/{there}.jpg"
    page.keyboard.press("ArrowDown")
    below = page.evaluate(FOCUSED)
    assert below > "cats/001.jpg"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(FOCUSED) == "cats/000.jpg"
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Space")
    assert picked(page) == ["000.jpg", "001.jpg", "002.jpg"]
    bar(page, "3 photos selected")
    assert page.evaluate(FOCUSED) == "cats/002.jpg"  # drawing the page again does not take the focus away
    for _ in range(20):  # out of the gallery, past the pages, into the bar
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Tag the selected photos":
            break
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    bar(page, "Undo: tag by hand, 3 photos")
    assert len(present(many)) == 3
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).endswith("Undo: tag by hand, 3 photos"):
            break
    page.keyboard.press("Enter")
    page.locator(".st-key-picks", has_text="Undo").wait_for(state="detached")
    assert present(many) == {}
    assert page.faults == []


def test_what_is_picked_is_read_back_from_python(browser, many):
    """The dashboard that `Store.show` starts, and the photos that a person picks in it."""
    store = Store(many)
    shown = store.show(open_browser=False)
    try:
        page = opened(browser, f"{shown.address}/explore")
        names = tile_names(page)
        checks = page.get_by_role("checkbox", name=re.compile("^Select cats"))
        checks.nth(2).click()
        checks.nth(0).click()
        bar(page, "2 photos selected")
        assert store.selection()["path"].tolist() == [names[2], names[0]]
        page.get_by_role("button", name="Clear").click()
        page.locator(".st-key-picks").wait_for(state="detached")
        assert store.selection().empty
    finally:
        shown.stop()
