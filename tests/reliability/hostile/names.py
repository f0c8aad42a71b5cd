"""Names that are HTML, Markdown, formulas, terminal codes or turn the line around: text everywhere, and nothing else.

In: a store whose files, folders, classes, dataset, tags and runs are called so. Out: counts of what was looked at: the
pages in a real Chromium, the report, the exports, the commands.
"""

import contextlib
import csv
import io
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq

from dashboard import report
from seglib.cli import main
from seglib.evaluation import comparison, truth_counting
from seglib.query import export
from seglib.store import tags
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import draw_truth, fill_store, real_id
from tests.e2e import pages
from tests.e2e.conftest import CHROMIUM, FLAGS, Server
from tests.reliability.harness.ledger import Campaign, CampaignResult

NAMES = (
    "<img src=x onerror=window.ran=1>MARKED",
    "<b>MARKED<b>",
    "<a href=javascript:window.ran=1>MARKED",
    "<svg onload=window.ran=1>MARKED",
    "<script>window.ran=1;'MARKED'",
    "**MARKED** __MARKED__ `MARKED`",
    "[MARKED](javascript:window.ran=1)",
    "![MARKED](x)",
    ":cat: :material-home: $MARKED$ :red[MARKED]",
    "# MARKED",
    "=cmd|'MARKED'!A0",
    "=HYPERLINK(\"x\",\"MARKED\")",
    "+1+MARKED",
    "-1+MARKED",
    "@SUM(MARKED)",
    "\u202egnp.MARKED",
    "\u2067MARKED\u2066",
    "🐱👩‍👩‍👧 MARKED",
    "'\"><iframe srcdoc=MARKED>",
    "&lt;b&gt;MARKED&amp;",
    "%s {0} {{MARKED}} ${MARKED} %3Cb%3E",
    "\x1b[31mMARKED\x1b[0m",
    "MARKED\nseglib: all is well",
    "مرحبا MARKED שלום",
)  # fmt: skip
"""MARKED in each: an element whose whole text is that, or in bold, was made from a name."""

TITLES = (f"{NAMES[5]} {NAMES[6]} {NAMES[8]}", f"{NAMES[3]}{NAMES[15]}{NAMES[21]}{NAMES[22]}")
"""Of the two runs; the second could only be written by hand."""

PLAIN_CLASSES = ("background", "cat", "dog")
FORMULA = re.compile(r"^[=+\-@\t\r]")

MADE = """() => {
  const found = []
  const look = root => {
    for (const e of root.querySelectorAll('*')) {
      if (e.shadowRoot) look(e.shadowRoot)
      const own = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join('').trim()
      const shaped = e.closest('b, strong, em, i, code, a, h1, h2, .katex, [style*="bold"]')
      if (own === 'MARKED' || (own === "'MARKED'" && e.tagName === 'SCRIPT')) found.push(e.outerHTML.slice(0, 200))
      else if (shaped && own === 'MARKED') found.push(shaped.outerHTML.slice(0, 200))
      const running = 'img[src="x"], [onerror], [onload], [srcdoc], a[href^="javascript:"]'
      if (e.matches(running) && !e.matches('link, script[src]'))
        found.push(e.outerHTML.slice(0, 200))
    }
  }
  look(document)
  if (window.ran) found.push('a script ran')
  return found
}"""
SHOWN = """() => {
  let text = ''
  const look = root => {
    for (const e of root.querySelectorAll('*')) {
      if (e.shadowRoot) look(e.shadowRoot)
      for (const n of e.childNodes) if (n.nodeType === 3) text += n.data + '\\n'
      for (const name of ['title', 'alt', 'aria-label', 'value', 'placeholder'])
        if (e.getAttribute(name)) text += e.getAttribute(name) + '\\n'
    }
  }
  look(document)
  return text
}"""


def in_pages(tries: int, _seed: int, folder: Path) -> CampaignResult:
    """Each page with all of the names, chips and hints of charts included; `tries` pages."""
    from playwright.sync_api import sync_playwright

    store, runs = _store(folder)
    server = Server(store.path, folder / "server.log", "--data", str(folder / _file_name(NAMES[0])))
    seen = hovered = 0
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = browser.new_context(viewport={"width": 1440, "height": 2600}).new_page()
            page.add_init_script(pages.WATCH)
            page.on("dialog", lambda dialog: dialog.dismiss())
            for address in _addresses(runs)[:tries]:
                page.goto(server.url + address)
                _settle(page)
                hovered += _hover(page)
                made = page.evaluate(MADE)
                assert made == [], f"{address}: {made}"
                text = page.evaluate(SHOWN)
                seen += sum(_flat(name)[:18] in _flat(text) for name in NAMES)
                toolbar = page.get_by_test_id("stElementToolbar").get_by_role("button", name="Download as CSV")
                assert toolbar.count() == 0, toolbar.first.evaluate("e => e.outerHTML")
            browser.close()
    finally:
        server.stop()
    assert seen > 5 * min(tries, 3)
    return CampaignResult(
        min(tries, len(_addresses(runs))),
        f"{len(NAMES)} names of files, folders, classes and tags: {seen} occurrences on these pages, {hovered} chart "
        "tooltips; no script ran and no name became an element",
    )


def exported(tries: int, _seed: int, folder: Path) -> CampaignResult:
    """CSV, Parquet, report, and the text of the commands."""
    store, runs = _store(folder)
    frame = export.stats_frame(store)
    rows = list(csv.reader(io.StringIO(export.csv_bytes(frame).decode())))
    cells = [cell for row in rows for cell in row if not re.fullmatch(r"-?[\d.e-]+", cell)]
    assert not [cell for cell in cells if FORMULA.match(cell)]
    export.write_frame(folder / "out.parquet", frame)
    assert pq.read_table(folder / "out.parquet")["path"].to_pylist() == frame["path"].tolist()  # Parquet runs nothing
    body = report.build_report(store, runs).decode()
    assert not re.search(r"<(img src=x|script|svg onload|iframe|a href=java|b>MARKED)", body)
    checked = len(cells) + 1
    commands: tuple[tuple[str, ...], ...] = (
        ("status",), ("compare", "--runs", *runs), ("evaluate", "--truth", str(folder / "truth")), ("tag", "--undo"),
        ("export", "stats", "--out", str(folder / "all.csv")), ("status", "--json"), ("prune",),
    )  # fmt: skip
    lines = 0
    for command in commands:
        said = _run_command(*command, "--store", str(store.path))
        assert "\x1b" not in said, command
        assert not set(said) & set("\u202e\u2067\u2066"), f"{command}: {said!r}"
        assert "\nseglib: all is well" not in said, command
        lines += len(said.splitlines())
    return CampaignResult(
        tries and checked + lines,
        f"{len(cells):,} CSV cells without a formula, {lines} lines of output without a control character, "
        "one report without an injected element",
    )


def _run_command(*command: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main.main(list(command))
    return out.getvalue() + "\n" + err.getvalue()


def _store(folder: Path) -> tuple[Store, list[str]]:
    """Two runs over photos in folders of these names; a truth; tags; a class of each name that a class may have."""
    files = {f"{_file_name(name)}/{_file_name(name)}.jpg": at for at, name in enumerate(NAMES)}
    classes = (*PLAIN_CLASSES, *(name for name in NAMES if name.isprintable() and "/" not in name))
    pixels = {path: {classes[3 + at % (len(classes) - 3)]: 40, "cat": 10 + at} for path, at in files.items()}
    title = _file_name(NAMES[0])
    for schema in (1, 2):
        fill_store(folder / "store", pixels=pixels, code_schema=schema, classes=classes, folder=title, real=True)
    store = Store(folder / "store")
    runs = [run.run for run in store.runs()]
    for run, title in zip(store.runs(), TITLES, strict=True):
        store.write_run(replace(run, title=title))
    for name in NAMES:
        with contextlib.suppress(Exception):  # a tag may not hold a control character
            tags.tag(store, [real_id(path) for path in list(files)[:2]], name[:60])
    comparison.update_counts(store, runs)
    truth = {path: {"cat": 30} for path in list(files)[:6]}
    truth_counting.update_counts(store, open_drawn(draw_truth(folder / "truth", truth, (400, 300))), runs)
    return store, runs


def _file_name(name: str) -> str:
    return name.replace("/", "∕")


def _addresses(runs: list[str]) -> list[str]:
    image = real_id(f"{_file_name(NAMES[0])}/{_file_name(NAMES[0])}.jpg")
    both = f"runs={runs[0]}&runs={runs[1]}"
    label, path = quote(_file_name(NAMES[0])), quote(_file_name(NAMES[5]))
    return [
        "/explore", "/", f"/compare?{both}", "/runs", f"/image?image={image}&{both}", f"/explore?label={label}",
        f"/explore?path={path}", "/explore?show=table", f"/evaluate?{both}", "/try",
        f"/explore?tag={quote(NAMES[1])}", *(f"/explore?path={quote(_file_name(name))}" for name in NAMES),
    ]  # fmt: skip


def _settle(page: Any) -> None:
    page.wait_for_selector('[data-testid="stMain"] [data-testid="stElementContainer"]', timeout=60_000)
    pages.settle(page, last=".chart-place")
    deadline = time.monotonic() + 6
    wanted = page.locator("[class*=st-key-chart-]").count()
    while page.locator(".js-plotly-plot").count() < wanted and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    pages.settle(page)


def _hover(page: Any) -> int:
    """Over some marks of the charts in view, so that their hints are drawn too."""
    shown = 0
    for box in [one.bounding_box() for one in page.locator(".nsewdrag").all()[:10]]:
        if box is None:
            continue
        for down in range(4):
            page.mouse.move(box["x"] + 0.02 * box["width"], box["y"] + (down + 0.5) / 4 * box["height"], steps=3)
            page.wait_for_timeout(80)
            shown += page.locator(".hoverlayer .hovertext").count() > 0
    return shown


def _flat(text: str) -> str:
    return re.sub(r"[\s\u200b\u2066-\u2069\u202a-\u202e\x1b]+", " ", text)


SECTION = "Web server"
CAMPAIGNS = (
    Campaign(SECTION, "hostile names of files, folders, classes, tags: pages in Chromium", in_pages, 13, 2, "chromium"),
    Campaign(
        SECTION, "hostile names of files, folders, classes, tags: exports, report, command output", exported, 1, 1
    ),
)
