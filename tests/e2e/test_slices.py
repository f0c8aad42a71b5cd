"""Slices of an evaluation, in a real browser: choose a field, read which slice is worst, see its photos."""

import pytest

from seglib.evaluation import truth_counting
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import draw_truth, fill_store, make_run_config
from tests.dashboard.views.test_slices import DRAWN, SEEN
from tests.e2e.pages import close_list
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, opened, settle

pytestmark = pytest.mark.e2e

RUN = make_run_config().run_name


def test_from_a_field_to_the_photos_of_the_worst_slice(start, browser, tmp_path):
    fill_store(tmp_path / "store", pixels=SEEN)
    store = Store(tmp_path / "store")
    truth_counting.update_counts(store, open_drawn(draw_truth(tmp_path / "masks", DRAWN)), [RUN])
    server = start(store.path, "--data", str(tmp_path / "masks"))
    page = opened(browser, f"{server.url}/evaluate?run={RUN}", drawn=".answer")
    field = page.get_by_role("combobox", name="Slices by")
    field.click()
    field.press_sequentially("Folder")
    page.get_by_role("option", name="Folder", exact=True).click()
    page.get_by_text("Worst for folder dogs: mIoU").wait_for()
    settle(page)
    close_list(page)
    assert "by=label" in page.url
    marks = page.get_by_role("figure", name="mIoU by folder")
    marks.locator(".main-svg").first.wait_for()
    settle(page)
    marks.press("ArrowDown")  # the first mark is the worst slice
    page.get_by_text("dogs, 12 photos").first.wait_for()
    marks.press("Enter")
    page.locator("[class*='st-key-chip-label']").wait_for()
    settle(page)
    assert "label=dogs" in page.url
    assert page.get_by_text("Worst photos, n = 12").count() == 1
    assert page.get_by_text("Worst for folder dogs: mIoU").count() == 1  # the slices stay
    assert violations(page) == []
    assert max(page.evaluate(SIDEWAYS)) <= 0
    assert page.faults == []
