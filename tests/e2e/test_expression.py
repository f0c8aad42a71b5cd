"""An expression typed with completion, a mistake shown at its place, and a view saved and opened, in a real browser."""

from urllib.parse import parse_qs, urlsplit

import pytest

from seglib.store.saved_views.saved_view import delete_view
from seglib.store.store import Store
from tests.e2e.test_dashboard import opened, settle, tile_names, wait_for_figure

pytestmark = pytest.mark.e2e


def test_an_expression_is_typed_corrected_saved_and_opened_again(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore")
    box = page.get_by_role("textbox", name="Expression")
    options = page.get_by_role("listbox", name="What can be typed here").get_by_role("option")
    box.press_sequentially("share.c")
    assert options.first.inner_text().startswith("share.cat")  # of most photos
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    box.press_sequentially("> 30% and lab")
    page.keyboard.press("Tab")
    assert box.input_value() == "share.cat > 30% and label "
    page.keyboard.press("Escape")
    assert options.count() == 0 or not options.first.is_visible()

    box.fill("share.cat > 10% and lable = cats")
    box.press("Enter")
    page.get_by_role("alert").filter(has_text="did you mean label?").wait_for()
    assert page.locator(".marks mark").inner_text() == "lable"
    wait_for_figure(page, "photos", "6")

    box.fill("share.cat>10%\tAND label=cats")
    box.press("Enter")
    wait_for_figure(page, "photos of 6", "2")
    assert tile_names(page) == ["cats/a.jpg", "cats/c.jpg"]
    assert box.input_value() == "share.cat > 10% and label = cats"
    assert parse_qs(urlsplit(page.url).query)["where"] == ["share.cat > 10% and label = cats"]

    page.get_by_role("button", name="Views").click()
    menu = page.get_by_test_id("stPopoverBody")
    menu.get_by_label("Name").fill("sure cats")
    menu.get_by_role("button", name="Save").click()
    menu.get_by_text("Saved “sure cats”.").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear all").click()
    wait_for_figure(page, "photos", "6")
    page.get_by_role("button", name="Views").click()
    menu.get_by_role("button", name="sure cats").click()
    wait_for_figure(page, "photos of 6", "2")
    menu.wait_for(state="hidden")
    delete_view(Store(small), "sure cats")  # the store is that of other tests
    settle(page)
    assert page.faults == []
