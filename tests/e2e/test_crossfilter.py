"""Bars, bins, squares and cells filter: gallery, key figures, other charts, CSV and the address follow."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from seglib.query.filters import FILTERS, Filters
from tests.e2e.test_dashboard import figure, opened, settle, tile_names, wait_for_figure

pytestmark = pytest.mark.e2e


def chart(page, alt: str):
    return page.get_by_role("figure", name=re.compile(alt))


MIDDLE_OF_MARK = """(figure, [marks, number]) => {
  const trace = [...figure.querySelectorAll("g.trace")].at(-1);
  const mark = trace.querySelectorAll(marks)[number].getBoundingClientRect();
  const area = [...figure.querySelectorAll(".nsewdrag")].at(-1).getBoundingClientRect();
  return { x: mark.x + mark.width / 2 - area.x, y: mark.y + mark.height / 2 - area.y };
}"""
"""In pixels of the topmost area that takes the pointer, so that it holds wherever the page puts the chart."""


def click(page, alt: str, number: int) -> None:
    """On the mark of this number in the last trace of the chart, the one that takes the pointer."""
    marks = "g.points > g.point path, path.point"
    chart(page, alt).locator("g.trace").last.locator(marks).nth(number).wait_for(state="attached")
    middle = chart(page, alt).evaluate(MIDDLE_OF_MARK, [marks, number])
    chart(page, alt).locator(".nsewdrag").last.click(position=middle)


def draw_box(page, alt: str, low: tuple[float, float], high: tuple[float, float]) -> None:
    """Over this part of the chart; 0..1 from its lower left corner."""
    area = chart(page, alt).locator(".nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]) for x, y in (high, low)]
    page.mouse.move(*at[0])
    page.mouse.down()
    for part in (0.3, 0.7, 1):
        page.mouse.move(*(start + part * (end - start) for start, end in zip(*at, strict=True)))
    page.mouse.up()


def filters_of(url: str) -> Filters:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return Filters.from_pairs((key, text) for key, text in pairs if key.partition(".")[0] in FILTERS)


def chip(page, words: str):
    return page.locator(".st-key-chips").get_by_role("button", name=words)


def faded(page, alt: str) -> list[bool]:
    """Per mark of the chart's first trace."""
    marks = chart(page, alt).locator("g.trace").first.locator("g.points path")
    return [float(opacity) < 0.5 for opacity in marks.evaluate_all("all => all.map(e => getComputedStyle(e).opacity)")]


def test_a_bar_filters_everything_and_a_second_click_takes_it_back(start, browser, small):
    server = start(small)
    page = opened(browser, f"{server.url}/explore?charts=photos")
    settle(page)
    assert figure(page, "photos of 6") == "6"
    click(page, "mean share of each class in 3 folders", 0)  # cats
    wait_for_figure(page, "photos of 6", "3")
    assert sorted(tile_names(page)) == ["cats/a.jpg", "cats/b.jpg", "cats/c.jpg"]
    assert chip(page, "Folder: cats").count() == 1
    assert page.get_by_test_id("stSidebar").get_by_role("button", name="cats 3", pressed=True).count() == 1
    chart(page, "Bars: 3 photos by number of regions").wait_for()
    # the bar stays among its siblings, which fade
    assert faded(page, "mean share of each class in 3 folders") == [False, True, True]
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Everything (CSV)").click()
    page.keyboard.press("Escape")
    rows = Path(download.value.path()).read_text().splitlines()
    assert len(rows) == 1 + 3
    assert all("cats/" in row for row in rows[1:])

    click(page, "mean share of each class in 3 folders", 1)  # dogs as well
    wait_for_figure(page, "photos of 6", "5")
    click(page, "mean share of each class in 3 folders", 1)
    wait_for_figure(page, "photos of 6", "3")
    click(page, "mean share of each class in 3 folders", 0)
    wait_for_figure(page, "photos of 6", "6")
    assert filters_of(page.url) == Filters()

    # a chip takes it away as well, and the chart does not bring it back
    click(page, "mean share of each class in 3 folders", 0)
    wait_for_figure(page, "photos of 6", "3")
    chip(page, "Folder: cats").click()
    wait_for_figure(page, "photos of 6", "6")
    page.get_by_text("Table", exact=True).click()
    settle(page)
    assert figure(page, "photos of 6") == "6"
    page.go_back()
    wait_for_figure(page, "photos of 6", "6")
    page.go_back()
    wait_for_figure(page, "photos of 6", "3")
    page.go_forward()
    wait_for_figure(page, "photos of 6", "6")

    # the table: a heading sorts, arrows move from row to row, Enter opens a photo
    page.get_by_text("Table", exact=True).click()
    page.get_by_role("button", name="Confidence").click()
    page.get_by_role("columnheader", name="Confidence").and_(page.locator("[aria-sort=ascending]")).wait_for()
    settle(page)
    page.get_by_role("row").nth(1).get_by_role("link").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="cats/b.jpg").wait_for()  # the least confident
    settle(page)
    assert page.faults == []


def test_a_bin_filters_what_it_counts_and_its_link_is_the_same_view_after_a_restart(start, browser, small):
    server = start(small)
    page = opened(browser, f"{server.url}/explore?charts=certainty&sort=-confidence")
    settle(page)
    click(page, "Histogram of confidence in 6 photos", 0)  # 0.50 to 0.52
    wait_for_figure(page, "photos of 6", "1")
    assert tile_names(page) == ["cats/b.jpg"]
    assert filters_of(page.url) == Filters.decode("confidence=0.5..<0.52")
    assert chart(page, "Histogram of confidence in 6 photos").count() == 1  # counts all, marks the chosen bin
    page.get_by_role("radio", name="Entropy").click()  # the other measures are a click away, and follow
    chart(page, "Histogram of entropy in 1 photos").wait_for()
    page.get_by_role("radio", name="Confidence").click()
    chart(page, "Histogram of confidence in 6 photos").wait_for()
    settle(page)
    link, marks = page.url, faded(page, "Histogram of confidence")
    assert marks[0] is False
    assert True in marks
    server.stop()
    again = start(small)
    other = opened(browser, link.replace(server.url, again.url))
    settle(other)
    assert tile_names(other) == ["cats/b.jpg"]
    assert faded(other, "Histogram of confidence") == marks
    assert chip(other, "Confidence: 0.50 to 0.52").count() == 1
    click(other, "Histogram of confidence in 6 photos", 0)
    wait_for_figure(other, "photos of 6", "6")
    assert other.faults == page.faults == []


def test_bars_are_reached_and_chosen_by_keyboard(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore?charts=photos")
    settle(page)
    bars = chart(page, "mean share of each class in 3 folders")
    bars.focus()
    page.keyboard.press("ArrowRight")
    live = page.locator(".chart:focus + .visually-hidden")
    live.filter(has_text="cats").wait_for(state="attached")
    assert bars.locator(".hovertext").count() == 1
    page.keyboard.press("ArrowRight")
    live.filter(has_text="dogs").wait_for(state="attached")
    page.keyboard.press("Enter")
    wait_for_figure(page, "photos of 6", "2")
    assert filters_of(page.url) == Filters({"label": ("dogs",)})
    bars.focus()
    page.keyboard.press("Enter")  # the same bar once more
    wait_for_figure(page, "photos of 6", "6")
    page.keyboard.press("Tab")
    assert page.locator(".chart + .visually-hidden").filter(has_text="cats").count() == 0
    assert page.faults == []


def test_a_box_filters_by_both_its_sides_and_a_double_click_clears_it(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore?charts=certainty&class=cat")
    settle(page)
    name = "photos by confidence and share of cat"
    draw_box(page, name, (0.5, 0.2), (1, 1))  # the two with much of a cat; both are quite confident
    wait_for_figure(page, "photos of 6", "2")
    assert sorted(tile_names(page)) == ["cats/a.jpg", "cats/c.jpg"]
    assert set(filters_of(page.url)) == {"confidence", "share.cat"}
    area = chart(page, name).locator(".nsewdrag").first.bounding_box()
    page.mouse.dblclick(area["x"] + 5, area["y"] + 5)
    wait_for_figure(page, "photos of 6", "6")
    draw_box(page, name, (0.5, 0.2), (1, 1))
    wait_for_figure(page, "photos of 6", "2")
    page.get_by_role("button", name="Clear all", exact=True).last.click()
    wait_for_figure(page, "photos of 6", "6")
    assert page.locator(".select-outline, .selectionlayer path").count() == 0  # no selection of before is left
    assert page.faults == []

    # the chart of one's own choice: a cell of confidence and folder, then bars of means
    page.get_by_text("Your own", exact=True).click()
    choose(page, "Kind", "Cells")
    choose(page, "Along y", "Folder")
    own = "Cells: Confidence, Folder of 6 photos"
    chart(page, own).locator(".main-svg").first.wait_for()
    draw_box(page, own, (0.5, 0), (1, 0.3))  # the surest cats
    wait_for_figure(page, "photos of 6", "2")
    assert sorted(tile_names(page)) == ["cats/a.jpg", "cats/c.jpg"]
    assert filters_of(page.url)["label"] == ("cats",)
    assert chart(page, own).count() == 1
    page.get_by_role("button", name="Clear all").click()
    wait_for_figure(page, "photos", "6")
    choose(page, "Kind", "Bars")
    choose(page, "Along x", "Folder")
    choose(page, "Along y", "Confidence")
    chart(page, "Bars: Folder, Confidence of 6 photos").locator(".bars .point path").first.wait_for()
    click(page, "Bars: Folder, Confidence of 6 photos", 1)
    wait_for_figure(page, "photos of 6", "2")
    assert filters_of(page.url) == Filters.decode("label=dogs")
    assert page.faults == []


def choose(page, label: str, option: str) -> None:
    """From a drop-down of which only the options in view are in the page."""
    box = page.get_by_role("combobox", name=label, exact=True)
    for _ in range(3):  # a rerun of the page closes the list
        box.click()
        box.fill(option)
        page.get_by_role("option", name=option, exact=True).click()
        settle(page)
        if box.input_value() == option:
            return
    pytest.fail(f"{label} stays {box.input_value()}")


def test_each_kind_of_bar_can_be_clicked_again_and_again(start, browser, small):
    server = start(small)
    for charts, alt in (("classes", "mean share of each class, and"), ("photos", "by number of regions")):
        page = opened(browser, f"{server.url}/explore?charts={charts}")
        settle(page)
        for _ in range(2):
            click(page, alt, 1)
            wait_for_figure(page, "photos of 6", "[1-5]")
            settle(page)
            click(page, alt, 1)
            wait_for_figure(page, "photos of 6", "6")
        assert page.faults == []


def test_cells_stay_among_their_siblings(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore?charts=classes")
    settle(page)
    cell = page.get_by_role("button", name="1 photo: folder cats, model sees dog")
    cell.click()
    wait_for_figure(page, "photos of 6", "1")
    assert cell.get_attribute("aria-pressed") == "true"
    sibling = page.get_by_role("button", name="2 photos: folder cats, model sees cat")
    assert sibling.get_attribute("aria-pressed") == "false"
    cell.click()
    wait_for_figure(page, "photos of 6", "6")
    page.get_by_role("button", name="Show the 1 contradiction").click()
    wait_for_figure(page, "photos of 6", "1")
    assert cell.get_attribute("aria-pressed") == "true"
    assert tile_names(page) == ["cats/b.jpg"]
    assert page.faults == []
