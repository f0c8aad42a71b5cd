"""Times of the page Similar, as part of `dashboard.py`: the map, its lasso, and look-alikes."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from playwright.sync_api import Browser, Page

Times = dict[str, list[float]]
MAP = ".stage canvas[aria-busy=false]"


def measure_similar(
    browser: Browser,
    url: str,
    rounds: int,
    found: Times,
    *,
    visit: Callable[[Browser, str, str], AbstractContextManager[Page]],
    time_click: Callable[[Page, Callable[[], None]], float],
) -> None:
    """Add `cold map`, `map`, `similar page`, `lasso` and `similar` to what is measured; seconds."""
    with visit(browser, f"{url}/similar", MAP) as page:
        found["cold map"] = [_marks(page)["map"]]
    for _ in range(rounds):
        with visit(browser, f"{url}/similar", MAP) as page:
            there = _marks(page)
            found["map"].append(there["map"])
            found["similar page"].append(there["quiet"])
    with visit(browser, f"{url}/similar", MAP) as page:
        page.get_by_role("radio", name="Box").click()
        for corners in _boxes(rounds):
            found["lasso"].append(time_click(page, lambda corners=corners: _draw_box(page, corners)))
            assert page.get_by_text("in the lasso").count() == 1
            assert page.locator("figure.tile").count() > 0
    with visit(browser, f"{url}/explore", "figure.tile") as page:
        for number in range(rounds):
            tile = page.locator("figure.tile").nth(number)
            tile.hover()
            found["similar"].append(time_click(page, tile.locator("a.similar").click))
            assert page.get_by_text("most similar to").count() == 1
            page.go_back()
            page.get_by_role("heading", name="Explore").wait_for()
            page.wait_for_function("() => window.bench.isQuiet()")


def _marks(page: Page) -> dict[str, float]:
    found: dict[str, float] = page.evaluate("() => ({ ...bench.marks, quiet: bench.last })")
    return {name: milliseconds / 1000 for name, milliseconds in found.items()}


def _boxes(rounds: int) -> Iterator[tuple[float, float, float, float]]:
    """Parts of the map, 0..1: each a little larger, so that none was seen before."""
    for number in range(rounds):
        yield 0.2 - 0.01 * number, 0.3, 0.6 + 0.02 * number, 0.9


def _draw_box(page: Page, corners: tuple[float, float, float, float]) -> None:
    page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    box = page.locator(".stage").bounding_box()
    assert box is not None
    (x0, y0), (x1, y1) = (
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (corners[:2], corners[2:])
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()
