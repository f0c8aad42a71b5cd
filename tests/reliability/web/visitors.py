"""Visitors of the dashboard: many at once for minutes, and one who clicks on whatever there is, hundreds of times.

The crowd is that of benchmarks/load.py, which speaks the browser's protocol and checks each count against the library.
The restless one is a real Chromium: each step is a random click on something in view, a key, or a step back; what
starts work on the machine, or deletes, is left alone.
"""

import json
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.dashboard.conftest import fill_store
from tests.e2e.conftest import CHROMIUM, FLAGS, Server
from tests.reliability.harness.ledger import Campaign, CampaignResult

GROWTH_MB = 100
"""Of the server's memory while it is visited, after its first visitors: its caches are bounded, but not small."""

ROWS = 100_000
MINUTES = 3
MANY = 100
"""Steps from which the restless one walks through the large store."""


def crowd(tries: int, seed: int, folder: Path) -> CampaignResult:
    """`tries` visitors."""
    whole = tries > 10
    seconds = 60 * MINUTES if whole else 4
    store = _synthetic(folder) if whole else _small(folder)
    out = folder / "measured.json"
    asked = {"--store": store, "--sessions": tries, "--seconds": seconds, "--minutes": 1, "--rest": seconds / 12}
    _benchmark("load.py", *(word for pair in asked.items() for word in pair), "--out", out)
    (measured,) = json.loads(out.read_text())
    assert measured["errors"] == []
    memory = measured["memory_mb"]
    assert memory["after"] - memory["before"] < 2 * GROWTH_MB
    return CampaignResult(
        measured["filters"],
        f"{tries} visitors, each applying a filter every other second for {seconds} s on "
        f"{ROWS if whole else 6:,} rows: every count correct; "
        f"median {measured['median_s']:.2f} s, p95 {measured['p95_s']:.2f} s; "
        f"the server's memory {memory['before']:.0f} MB before, {memory['after']:.0f} after",
    )


def _synthetic(folder: Path) -> Path:
    _benchmark("synthetic.py", folder / "store", "--rows", ROWS)
    return folder / "store"


def _small(folder: Path) -> Path:
    fill_store(folder / "store", real=True)
    return folder / "store"


def _benchmark(*command: object) -> None:
    name, *rest = command
    words = [sys.executable, str(ROOT / "benchmarks" / str(name)), *map(str, rest)]
    subprocess.run(words, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)


# --- one who clicks on everything ---

CLICKABLE = """() => {
  const seen = []
  const look = root => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot) look(element.shadowRoot)
      if (element.matches('a[href], button, [role=button], [role=option], [role=tab], summary, input[type=checkbox], ' +
                          '.point path, path.point, figure.tile')) seen.push(element)
    }
  }
  look(document)
  return seen.map(element => {
    const box = element.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2
    const words = (element.getAttribute('aria-label') || element.textContent || '').trim().slice(0, 60)
    return {x, y, words, href: element.getAttribute('href') || '', off: element.disabled || box.width < 2}
  }).filter(one => !one.off && one.x > 0 && one.y > 0 && one.x < innerWidth && one.y < innerHeight)
}"""
LEFT_ALONE = re.compile(
    r"Delete|Start|Cancel|End now|Resume|Try again|Remove|Dismiss|Compare \d|Evaluate|Look at each|Ask again|Keep"
    "|Report|Take photo|Tag|Deploy"
)
"""Buttons that start work on the machine or change the store."""

KEYS = (
    "ArrowRight",
    "ArrowLeft",
    "ArrowDown",
    "Escape",
    "Enter",
    "Tab",
    "o",
    "u",
    "d",
    "0",
    "1",
    "3",
    "+",
    "-",
    "?",
    " ",
)
HEAP = "HeapProfiler.collectGarbage"


@dataclass
class Walk:
    """What one session did, and what memory was when it had done a third, two thirds and all of it."""

    clicks: int = 0
    keys: int = 0
    moves: int = 0
    pages: set[str] = field(default_factory=set)
    server_mb: list[float] = field(default_factory=list)
    browser_mb: list[float] = field(default_factory=list)


def restless(tries: int, seed: int, folder: Path) -> CampaignResult:
    from playwright.sync_api import sync_playwright

    store = _synthetic(folder) if tries >= MANY else _small(folder)
    server = Server(store, folder / "server.log")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            walk = _walk(browser, server, tries, random.Random(seed))
            browser.close()
    finally:
        server.stop()
    assert "Traceback" not in server.read_log(), server.read_log()[-2000:]
    for memory in (walk.server_mb, walk.browser_mb):
        assert memory[-1] - memory[0] < GROWTH_MB, memory
    numbers = [" → ".join(f"{value:.0f}" for value in memory) for memory in (walk.server_mb, walk.browser_mb)]
    return CampaignResult(
        tries,
        f"{walk.clicks} clicks, {walk.keys} keys, {walk.moves} navigations, on {len(walk.pages)} "
        f"pages: no exception on a page, in its scripts or in the server; memory after each third: server "
        f"{numbers[0]} MB, page scripts {numbers[1]} MB",
    )


def _walk(browser: Any, server: Server, steps: int, chance: random.Random) -> Walk:
    walk, faults = Walk(), []
    page = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True).new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    inspector = page.context.new_cdp_session(page)
    page.goto(server.url)
    for step in range(1, steps + 1):
        did = _step(page, server.url, walk, chance)
        _settle(page)
        assert page.get_by_test_id("stException").count() == 0, (step, did, page.url)
        assert faults == [], (step, did, page.url, faults)
        walk.pages.add(page.url.split("?")[0])
        if step % max(1, steps // 3) == 0 and len(walk.server_mb) < 3:
            inspector.send(HEAP)
            used = page.evaluate("performance.memory.usedJSHeapSize")
            walk.browser_mb.append(used / 1e6)
            walk.server_mb.append(server.memory_mb())
    return walk


def _step(page: Any, home: str, walk: Walk, chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.08:
        walk.moves += 1
        page.goto(f"{home}/{chance.choice(['explore', 'compare', 'evaluate', 'runs', 'try', ''])}")
        return "goto"
    if kind < 0.14:
        walk.moves += 1
        page.go_back(wait_until="commit")
        return "back"
    if kind < 0.34:
        walk.keys += 1
        key = chance.choice(KEYS)
        page.keyboard.press(key)
        return f"key {key!r}"
    if kind < 0.42:
        page.mouse.wheel(0, chance.choice([-800, 600, 1200]))
    seen = [one for one in page.evaluate(CLICKABLE) if one["href"] or not LEFT_ALONE.match(one["words"])]
    seen = [one for one in seen if "//" not in one["href"]]
    if not seen:
        return "nothing to click"
    walk.clicks += 1
    one = chance.choice(seen)
    page.mouse.click(one["x"], one["y"])
    return f"click {one['words']!r}"


def _settle(page: Any) -> None:
    page.wait_for_timeout(150)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=60_000)


CAMPAIGNS = (
    Campaign("Visitors", "fifty visitors at once", crowd, tries=50, quick_tries=4),
    Campaign("Visitors", "one visitor clicks at random", restless, tries=300, quick_tries=12, needs="chromium"),
)
