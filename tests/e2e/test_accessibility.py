"""Every page, at every width, with the sidebar open and closed: nothing is cut or covered; axe-core finds nothing in
either theme; names in the accessibility tree; what the Tab key reaches is seen to have the focus.
"""

from pathlib import Path

import pytest

from seglib.evaluation import truth_counting
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PHOTO_WH, PIXELS, draw_truth, fill_store, make_run_config
from tests.e2e.test_dashboard import FOCUSED, opened, settle, wait_for_figure

pytestmark = pytest.mark.e2e

OPTIONS = {"resultTypes": ["violations"]}
MEASURE = Path(__file__).with_name("measure.js").read_text()
RING = Path(__file__).with_name("focus_ring.js").read_text()
WIDTHS = (390, 820, 1024, 1280, 1366, 1440, 1920)

STREAMLITS_PROBES = ("_stcore/health", "_stcore/host-config")
"""Asked for below each page's address too, since the server might have a base path."""

DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60))))"

MANY: dict[str, dict[str, int]] = PIXELS | {
    "potted plants in the living room/1.jpg": {"pottedplant": 30, "diningtable": 20},
    "potted plants in the living room/2.jpg": {"pottedplant": 40, "sofa": 20, "tvmonitor": 10},
    "potted plants in the living room/3.jpg": {"motorbike": 30, "bicycle": 20, "aeroplane": 10, "sheep": 5},
}
"""Classes and folders with long names, as many as a matrix shows."""

UNNAMED = {
    "button",
    "link",
    "combobox",
    "slider",
    "checkbox",
    "radio",
    "textbox",
    "figure",
    "image",
    "heading",
    "spinbutton",
}
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
    return store


def violations(page, *, only: tuple[str, ...] = ()) -> list[str]:
    """One line per element at fault: rule, place, what is wrong. `only`: the rules to check, else all."""
    from axe_playwright_python.sync_playwright import Axe

    options = OPTIONS | ({"runOnly": {"type": "rule", "values": list(only)}} if only else {})
    return [
        f"{rule['id']} {node['target']} {node['html'][:200]}: {node.get('failureSummary', '')}"
        for rule in Axe().run(page, options=options).response["violations"]
        for node in rule["nodes"]
    ]


def open_menu(page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", level=1).wait_for()
    settle(page)


def unfit(page) -> dict[str, list[str]]:
    """Faults by width, with the sidebar open, then closed."""
    found = {}
    for state in ("open", "closed"):
        if state == "closed":
            page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click(force=True)
        for width in reversed(WIDTHS):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(DRAWN)
            if faults := page.evaluate(MEASURE):
                found[f"{width} px, sidebar {state}"] = faults
        page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_test_id("stExpandSidebarButton").click()
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
    unfits, axe, unnamed = {}, {}, {}
    for name in names:
        open_menu(page, name)
        if name == "Explore":  # with everything open that can be
            page.get_by_role("checkbox", name="Select cats/a.jpg").click()
            page.locator(".st-key-picks").wait_for()
            page.get_by_test_id("stSidebar").get_by_text("More filters").click()
            settle(page)
        unfits[name] = unfit(page)
        axe[name] = violations(page)
        unnamed[name] = [role for role, text in names_in_tree(page) if role in UNNAMED and not text.strip()]
        page.emulate_media(color_scheme="dark")
        page.evaluate(DRAWN)
        axe[f"{name}, dark"] = violations(page, only=("color-contrast",))
        page.emulate_media(color_scheme="light")
    assert {name: faults for name, faults in unfits.items() if faults} == {}
    assert {name: faults for name, faults in axe.items() if faults} == {}
    assert {name: faults for name, faults in unnamed.items() if faults} == {}
    assert page.evaluate("document.querySelector('link[rel~=icon]').href").startswith("data:image/svg+xml")
    assert page.faults == missing == []


def test_the_first_tab_leads_to_the_photos_and_the_focus_is_always_seen(start, browser, small):
    page = opened(browser, f"{start(small).url}/explore")
    page.locator("figure.tile").first.wait_for()
    for scheme, stops in (("light", 45), ("dark", 12)):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(DRAWN)
        for number in range(stops):
            page.keyboard.press("Tab")
            seen = page.evaluate(RING)
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
