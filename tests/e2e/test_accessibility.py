"""Every page, at every width, with the sidebar open and closed: nothing is cut or covered; axe-core finds nothing in
either theme; names in the accessibility tree; what the Tab key reaches is seen to have the focus.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from seglib.evaluation import truth_counting
from seglib.store.embeddings import brought
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PHOTO_WH, PIXELS, draw_truth, fill_store, make_run_config, real_id
from tests.e2e.test_dashboard import FOCUSED, opened, settle, wait_for_figure

pytestmark = pytest.mark.e2e

OPTIONS = {"resultTypes": ["violations"]}
MEASURE = Path(__file__).with_name("measure.js").read_text()
RING = Path(__file__).with_name("focus_ring.js").read_text()
OPEN, CLOSED = (1920, 1440, 1280, 1024, 820), (1024, 390)
"""Widths with the sidebar open, where it does not cover the page, and closed: for each arrangement of the cards the
narrowest that people have.
"""

STREAMLITS_PROBES = ("_stcore/health", "_stcore/host-config")
"""Asked for below each page's address too, since the server might have a base path."""

DRAWN = """async () => {
  const wait = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const charts = () => [...document.querySelectorAll(".js-plotly-plot")];
  const widthOf = (chart) => Number(chart.querySelector(".main-svg")?.getAttribute("width") ?? chart.clientWidth);
  const fits = (chart) => Math.abs(widthOf(chart) - chart.clientWidth) < 2;
  await wait();
  for (let tries = 0; tries < 100 && !charts().every(fits); tries += 1) await wait();
  await wait();
}"""
"""Charts have the width of their cards."""

CHARTS = "number => document.querySelectorAll('[role=figure] .svg-container').length === number"

MANY: dict[str, dict[str, int]] = PIXELS | {
    "potted plants in the living room/1.jpg": {"pottedplant": 30, "diningtable": 20},
    "potted plants in the living room/2.jpg": {"pottedplant": 40, "sofa": 20, "tvmonitor": 10},
    "potted plants in the living room/3.jpg": {"motorbike": 30, "bicycle": 20, "aeroplane": 10, "sheep": 5},
}
"""Classes and folders with long names, as many as a matrix shows."""

NAMED = {"button", "link", "combobox", "slider", "checkbox", "radio", "textbox", "spinbutton", "image", "heading"}
"""Roles that a screen reader reads with a name."""


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Store:
    """Three runs of nine photos, compared with each other and with a truth, so that every page has all of its cards."""
    folder = tmp_path_factory.mktemp("complete")
    for schema, cat in ((1, 50), (2, 60), (3, 40)):
        fill_store(folder / "store", real=True, code_schema=schema, pixels=MANY | {"cats/a.jpg": {"cat": cat}})
    store = Store(folder / "store")
    masks = draw_truth(folder / "data" / "masks", MANY, size_wh=PHOTO_WH)
    truth_counting.update_counts(store, open_drawn(masks), [make_run_config(schema).run_name for schema in (1, 2, 3)])
    turns = np.linspace(0, 3, len(MANY))
    vectors = np.c_[np.cos(turns), np.sin(turns)]
    brought.add_set(store, "clip", [real_id(path) for path in MANY], vectors, "clip.npz")
    return store


STREAMLITS = (("presentation-role-conflict", "stFileUploaderDropzone"), ("region", "data-floating-ui-portal"))
"""Faults of elements that Streamlit draws: rule, what marks the element. The second is any open popover."""


def violations(page, *, only: tuple[str, ...] = ()) -> list[str]:
    """One line per element at fault: rule, place, what is wrong. `only`: the rules to check, else all."""
    from axe_playwright_python.sync_playwright import Axe

    options = OPTIONS | ({"runOnly": {"type": "rule", "values": list(only)}} if only else {})
    return [
        f"{rule['id']} {node['target']} {node['html'][:200]}: {node.get('failureSummary', '')}"
        for rule in Axe().run(page, options=options).response["violations"]
        for node in rule["nodes"]
        if not any(rule["id"] == name and mark in node["html"] for name, mark in STREAMLITS)
    ]


def open_menu(page, name: str) -> None:
    """Open a page by its link in the sidebar, which may be closed."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True, include_hidden=True).evaluate(
        "link => link.click()"
    )
    page.wait_for_function("name => document.title.includes(name)", arg=f"{name} · ")
    page.get_by_role("heading", level=1).wait_for()
    settle(page)


def is_closed(page) -> bool:
    return page.get_by_test_id("stExpandSidebarButton").count() > 0


def turn_sidebar(page) -> None:
    """Close the sidebar if it is open; else open it, on a page that it does not cover."""
    button = page.get_by_test_id("stExpandSidebarButton")
    if not is_closed(page):
        page.evaluate("document.querySelector('[data-testid=stSidebarCollapseButton] button').click()")
        button.wait_for()
    else:
        page.set_viewport_size({"width": 1440, "height": 900})
        button.click()
        button.wait_for(state="detached")


def unfit(page, name: str, widths: tuple[int, ...]) -> dict[str, object]:
    """Faults by width, with the sidebar as it is."""
    found: dict[str, object] = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for _ in range(10):  # the browser may still be laying out
            page.evaluate(DRAWN)
            faults = page.evaluate(MEASURE)
            if not faults:
                break
            page.wait_for_timeout(100)
        if faults:
            found[f"{name}, {width} px, sidebar {'closed' if is_closed(page) else 'open'}"] = faults
    return found


def check_at_a_desk(page, name: str) -> dict[str, object]:
    """With the sidebar open: all rules of axe-core, names for screen readers, what is cut or covered."""
    if is_closed(page):
        turn_sidebar(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.evaluate(DRAWN)
    found: dict[str, object] = {f"{name}, axe": violations(page)}
    tree = names_in_tree(page)
    found[f"{name}, without a name"] = [role for role, text in tree if role in NAMED and not text.strip()]
    if name == "Overview":
        headings = {text for role, text in tree if role == "heading"}
        assert {"Overview", "Class distribution", "Co-occurrence"} <= headings  # without what is said below them
    return found | unfit(page, name, OPEN)


def check_on_a_phone(page, name: str) -> dict[str, object]:
    """With the sidebar closed: what is cut or covered, and contrast in the dark theme."""
    if not is_closed(page):
        turn_sidebar(page)
    found = unfit(page, name, CLOSED)
    page.emulate_media(color_scheme="dark")
    page.evaluate(DRAWN)
    ground = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", ground)[:3])) < 200
    found[f"{name}, axe, dark, on a phone"] = violations(page, only=("color-contrast",))
    page.emulate_media(color_scheme="light")
    return found


def names_in_tree(page) -> list[tuple[str, str]]:
    """Role and name of each node of the accessibility tree that is not hidden from screen readers."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and "role" in node
    ]


def test_every_page_fits_every_width_and_has_no_violation_in_either_theme(start, browser, complete):
    server = start(complete.path, "--data", str(complete.path.parent / "data"))
    page = opened(browser, server.url, reduced_motion="reduce")
    missing: list[str] = []
    page.on("response", lambda answer: missing.append(answer.url) if _is_missing(answer) else None)
    names = page.get_by_test_id("stSidebarNavLink").all_inner_texts()
    assert {"Overview", "Explore", "Image", "Compare", "Evaluate", "Runs"} <= set(names)
    faults: dict[str, object] = {}
    for name in names:
        open_menu(page, name)
        assert page.title().endswith(f"{name} · Segmentation dashboard")
        if name == "Explore":
            faults |= open_everything(page)
        elif name == "Compare":  # and Evaluate, since the choice is kept
            page.get_by_text("All figures").click()
            settle(page)
        checks = (check_at_a_desk, check_on_a_phone)
        for check in reversed(checks) if is_closed(page) else checks:  # the sidebar is turned once per page
            faults |= check(page, name)
    assert "\n".join(f"{words}: {found}" for words, found in faults.items() if found) == ""
    assert page.evaluate("document.querySelector('link[rel~=icon]').href").startswith("data:image/svg+xml")
    assert page.faults == missing == []


def open_everything(page) -> dict[str, object]:
    """Measure each set of Explore's charts and its table, and leave the page with everything open that can be."""
    found: dict[str, object] = {}
    for name, charts in (("Certainty", 2), ("Folders and sizes", 3), ("Classes", 2)):
        page.get_by_role("radio", name=name, exact=True).click()
        settle(page)
        page.wait_for_function(CHARTS, arg=charts)
        found |= check_narrow(page, f"Explore, {name}")
    page.get_by_role("radio", name="Table", exact=True).click()
    settle(page)
    found |= check_narrow(page, "Explore, table")
    if is_closed(page):
        turn_sidebar(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("radio", name="Gallery", exact=True).click()
    page.get_by_role("checkbox", name="Select cats/a.jpg").click()
    page.locator(".st-key-picks").wait_for()
    page.get_by_test_id("stSidebar").get_by_text("More filters").click()
    settle(page)
    return found


def check_narrow(page, name: str) -> dict[str, object]:
    """What is cut or covered on a narrow page with the sidebar as it is, then turned."""
    found: dict[str, object] = {}
    for turned in (False, True):
        if turned:
            turn_sidebar(page)
        found |= unfit(page, name, (390,) if is_closed(page) else (1024,))
    return found


def test_the_first_tab_leads_to_the_photos_and_the_focus_is_always_seen(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore")
    page.locator("figure.tile").first.wait_for()
    for scheme, stops in (("light", 45), ("dark", 12)):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(DRAWN)
        for number in range(stops):
            page.keyboard.press("Tab")
            for _ in range(10):  # Streamlit fades some rings in
                page.wait_for_timeout(20)
                seen = page.evaluate(RING)
                if seen is None or seen["contrast"] >= 3:
                    break
            if number == 0 and scheme == "light":
                assert seen["name"] == "a Skip to the photos"
            assert seen is None or seen["contrast"] >= 3, (scheme, seen)
    page.locator(".skip-to-photos").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) == "cats/a.jpg"
    assert page.faults == []


def test_a_matrix_is_one_stop_of_the_tab_key_and_the_arrows_go_on(start, browser, small):
    page = opened(browser, start(small).url)
    matrix = page.locator(".st-key-folder_against_animal")
    matrix.get_by_role("button", name="2 photos: folder cats, model sees cat").focus()
    steps = {
        "ArrowRight": "1 photo: folder cats, model sees dog",
        "ArrowDown": "1 photo: folder dogs, model sees dog",
    }
    for key, there in (*steps.items(), ("ArrowLeft", steps["ArrowDown"])):  # beyond it is a zero and the edge
        page.keyboard.press(key)
        assert matrix.locator("button:focus").get_attribute("aria-label") == there
    assert matrix.locator("button[tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Explore").wait_for()
    wait_for_figure(page, "photos of 6", "1")
    assert violations(page) == []  # with a filter, too: what is not chosen is paler, but can be read
    assert page.faults == []


def test_the_check_would_notice(browser):
    page = browser.new_page()
    page.set_content("<html lang=en><body><main><h1>x</h1><img src='x.png'><button></button></main></body></html>")
    assert {line.split()[0] for line in violations(page)} >= {"image-alt", "button-name"}


def _is_missing(answer) -> bool:
    return answer.status >= 400 and not answer.url.endswith(STREAMLITS_PROBES)
