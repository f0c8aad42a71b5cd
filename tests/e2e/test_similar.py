"""The map, its lasso, look-alikes and near-duplicates in a real browser."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from seglib.store.embeddings import brought
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, fill_store, id_of
from tests.e2e.test_dashboard import opened, settle, tile_names

pytestmark = pytest.mark.e2e

PLACES = dict(zip(PIXELS, ([1, 0.02], [1, 0], [0.6, 0.8], [-0.2, 1], [-0.21, 1], [-1, -0.6]), strict=True))
"""Path -> vector: a and b, d and e are near-duplicates."""


@pytest.fixture(scope="module")
def placed(tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("placed") / "store"
    fill_store(store)
    (store.parent / "photos").mkdir()
    ids = [id_of(path) for path in PLACES]
    brought.add_set(Store(store), "clip", ids, np.array(list(PLACES.values())), "clip.npz")
    return store


def wait_for_tiles(page, *names: str) -> None:
    page.wait_for_function(
        """names => JSON.stringify([...document.querySelectorAll('*')].flatMap(element =>
        [...(element.shadowRoot?.querySelectorAll('figure.tile .name') ?? [])].map(name => name.textContent)).sort())
        === JSON.stringify(names.sort())""",
        arg=list(names),
    )


def test_from_the_map_to_photos_to_look_alikes_to_duplicates(start, browser, placed):
    page = opened(browser, f"{start(placed).url}/similar", drawn="canvas[aria-busy=false]")
    stage = page.locator(".stage")
    assert "Map of 6 photos" in stage.get_attribute("aria-label")
    box = stage.bounding_box()

    # all points lie in the middle half: a lasso around the right half of it holds what the server finds there
    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.move(*at(0.5, 0.02))
    page.mouse.down()
    for corner in ((0.98, 0.02), (0.98, 0.98), (0.5, 0.98)):
        page.mouse.move(*at(*corner), steps=3)
    page.mouse.up()
    said = page.locator(".root > [role=status]", has_text="chosen")
    said.wait_for(state="attached")
    number = int(re.match(r"\d+", said.inner_text())[0])
    page.get_by_text(f"{number} photos in the lasso").wait_for()
    settle(page)
    chosen = tile_names(page)
    assert 0 < number == len(chosen) < 6
    assert parse_qs(urlsplit(page.url).query)["lasso"]

    # the same link shows the same photos; what is in view can be chosen by keyboard, and Escape takes it back
    page.reload()
    page.locator("canvas[aria-busy=false]").wait_for()
    wait_for_tiles(page, *chosen)
    stage.focus()
    page.keyboard.press("Escape")
    wait_for_tiles(page, *PLACES)
    page.keyboard.press("Enter")
    page.get_by_text("6 photos in the lasso").wait_for()
    settle(page)

    # a photo's look-alikes, then groups of near-duplicates, of which all but the first are selected
    tile = page.locator("figure.tile", has_text="dogs/d.jpg")
    tile.hover()
    tile.get_by_role("link", name="Similar photos: dogs/d.jpg").click()
    page.get_by_text("most similar to dogs/d.jpg").wait_for()
    settle(page)
    assert tile_names(page)[0] == "dogs/e.jpg"
    page.get_by_role("radio", name="Near-duplicates").click()
    page.get_by_text("2 groups of near-duplicates, 4 photos.").wait_for()
    page.locator("h2.heading").nth(1).wait_for()
    assert page.locator("h2.heading").all_inner_texts() == ["Group 1 · 2 photos", "Group 2 · 2 photos"]
    page.get_by_role("button", name="Select all but the first of each group (2)").click()
    page.get_by_test_id("stMarkdown").get_by_text("2 photos selected").wait_for()
    settle(page)
    assert page.faults == []
