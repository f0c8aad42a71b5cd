"""axe-core finds nothing serious on any page, light or dark; nothing that a page of ours asks for is missing."""

import pytest

from tests.e2e.test_dashboard import opened, settle, visit, wait_for_figure

pytestmark = pytest.mark.e2e

SERIOUS = {"serious", "critical"}
OPTIONS = {"resultTypes": ["violations"]}

STREAMLITS_PROBES = ("_stcore/health", "_stcore/host-config")
"""Asked for below each page's address too, since the server might have a base path."""


def violations(page) -> list[str]:
    """One line per element at fault: rule, place, what is wrong."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [
        f"{rule['id']} {node['target']} {node['html'][:200]}: {node.get('failureSummary', '')}"
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]


def test_no_page_has_a_serious_violation_in_either_theme(start, browser, sampled):
    server = start(sampled)  # with the sample, so that all pictures are there
    for scheme in ("light", "dark"):
        page = opened(browser, server.url, scheme=scheme)
        missing: list[str] = []
        page.on("response", lambda answer, to=missing: to.append(answer.url) if _is_missing(answer) else None)
        names = page.get_by_test_id("stSidebarNavLink").all_inner_texts()
        assert {"Overview", "Explore", "Image", "Runs"} <= set(names)
        found = {}
        for name in names:
            page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True).click()
            settle(page)
            if name == "Explore":  # with everything open that can be
                page.get_by_role("checkbox", name="Select cats/tabby.jpg").click()
                page.locator(".st-key-picks").wait_for()
                page.get_by_test_id("stSidebar").get_by_text("More filters").click()
                settle(page)
            found[name] = violations(page)
        for view in ("explore?show=table", "explore?charts=certainty"):
            visit(page, f"{server.url}/{view}")
            found[view] = violations(page)
        assert not any(found.values()), found
        assert page.evaluate("document.querySelector('link[rel~=icon]').href").startswith("data:image/svg+xml")
        assert page.faults == missing == []


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
