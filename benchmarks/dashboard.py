"""Measures how long visitors of the dashboard wait, in headless Chromium, on synthetic stores of up to 1,000,000 rows.

    python benchmarks/dashboard.py [--rows 1000 100000 1000000] [--rounds 7] [--photos DIR] [--keep DIR]

Medians of the rounds. The floor is an empty Streamlit page on a server of its own, whose answers leave as quickly as
the dashboard's (`tcp_nodelay.py`; Streamlit's own wait 40 ms each): in each round it is loaded, and clicked,
right before the dashboard is; all loads are first visits (a new browser context, nothing cached), and every filter is
one that nobody has asked for before. Times are read in the page, not by whoever drives it:

- floor, key figures, first row: from the start of the navigation to the moment the element is in the page; for the
  row, until all of its pictures are decoded.
- charts (on Explore: those of classes), filter, next page, image: from the start of the navigation, or the click, to
  the last change of the page's main part (elements, attributes, texts, pictures in view) before half a second without
  any.
- expression: from Enter in its box to the last change, like a filter; each expression is a new one, on Explore with the
  gallery alone.
- own chart: from the choice of another field along x, or of box plots, to the last change of Explore.
- Similar: the map is drawn when all points are; lasso: from the end of drawing a box to the last change of the gallery.
- opacity: frames from the move of the slider to the first one that is drawn with the new opacity.

The cold visit is the first one after the server's start, which reads the store. Bytes of a gallery page: all that the
browser received from the click on the next page to the end of scrolling through its 48 tiles, websocket included.

From 3,000,000 rows on, where pages ask the prepared table, that is made first, and there are no embeddings for Similar.
"""

import argparse
import base64
import contextlib
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright
from servers import Server, dashboard_command, folder_for_stores, run_server
from similar_page import measure_similar
from synthetic import add_vectors, build

from seglib.query.filters import FILTERS, Filters, select
from seglib.similarity.embeddings import list_sources
from seglib.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
LARGE_RUN = 3_000_000
"""Rows from which on pages ask the prepared table: `large_run` of the dashboard's settings."""
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
EMPTY_PAGE = """
import streamlit as st
st.set_page_config(layout="wide")
st.button("again")
st.html(f"<p id='floor'>{st.session_state.setdefault('n', 0)}</p>")
st.session_state["n"] += 1
"""
EMPTY_APP = """
import contextlib
from pathlib import Path
import streamlit as st
from dashboard import tcp_nodelay

@contextlib.asynccontextmanager
async def lifespan(_):
    tcp_nodelay.disable_nagle()
    yield

app = st.App(Path(__file__).with_name("empty.py"), lifespan=lifespan)
"""

WATCH = """(() => {
  const bench = window.bench = { roots: [], marks: {}, last: 0, calm: 0 };
  const now = () => performance.now();
  const changed = () => { bench.last = now(); bench.calm = 0; };
  setInterval(() => { bench.calm += 1; }, 50);  // none passes while the browser is busy
  const inMain = (node) => {
    const root = node.getRootNode();
    const element = root instanceof ShadowRoot ? root.host : node.nodeType === 1 ? node : node.parentElement;
    return element && element.closest('[data-testid=stMain]');
  };
  const mark = (name, found) => { if (!(name in bench.marks) && found()) bench.marks[name] = now(); };
  bench.all = (selector) => bench.roots.filter((root) => root.host.isConnected)
    .flatMap((root) => [...root.querySelectorAll(selector)]);
  bench.pictures = () => bench.all('img');
  const inView = (image) => {
    const box = image.getBoundingClientRect();
    return box.width && box.bottom > 0 && box.top < innerHeight;
  };
  const isThere = (image) => image.complete && image.naturalWidth > 0;
  bench.pending = () => bench.pictures().filter((image) => inView(image) && !isThere(image)).length
    + bench.all('canvas[aria-busy=true]').length;
  const firstRow = () => {
    const tiles = bench.all('figure.tile');
    const row = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop);
    const images = row.flatMap((tile) => [...tile.querySelectorAll('img')]);
    return images.length > 0 && images.every(isThere);
  };
  const look = () => {
    mark('floor', () => document.querySelector('#floor'));
    mark('figures', () => document.querySelector('dl.figures dd'));
    mark('row', firstRow);
    mark('map', () => bench.all('.stage canvas[aria-busy=false]').length);
  };
  const watch = (root) => {
    new MutationObserver((changes) => {
      if (changes.some((change) => inMain(change.target))) changed();
      look();
    }).observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
    root.addEventListener('load', (event) => {
      if (event.target.tagName !== 'IMG' || !inMain(event.target)) return;
      changed();
      look();
    }, true);
  };
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    const root = attach.call(this, options);
    bench.roots.push(root);
    watch(root);
    return root;
  };
  watch(document);
  const acted = () => { bench.clicked = now(); changed(); };
  document.addEventListener('click', acted, true);
  document.addEventListener('keydown', (event) => { if (event.key === 'Enter') acted(); }, true);
  bench.isQuiet = () => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.dataset.testConnectionState === 'CONNECTED' && app.dataset.testScriptState === 'notRunning'
      && !document.querySelector('[data-stale=true]') && !bench.pending() && bench.calm > 10;
  };
})()"""
QUIET = "() => window.bench.isQuiet()"
FLOOR, TILE, CHART = "#floor", "figure.tile", "[role=figure] .main-svg"
CHARTS = "explore?charts=classes"
"""The page whose filters are timed: Explore with charts above the photos."""
OWN_CHART = "explore?charts=own&x=confidence&y=confidence&chart-colour=label"
OWN_CLASSES = ("dog", "person", "sofa", "chair", "bird", "bottle", "car", "horse", "sheep", "train")
"""Classes whose shares are charted, a new one in each round."""


OPACITY = """async () => {
  const [mask] = bench.all('figure.tile img.mask');
  const slider = mask.getRootNode().querySelector('input[type=range]');
  const wanted = slider.value === '30' ? 70 : 30;
  slider.value = String(wanted);
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  for (let frame = 1; frame <= 120; frame += 1) {
    await new Promise((drawn) => requestAnimationFrame(drawn));
    if (Math.abs(Number(getComputedStyle(mask).opacity) - wanted / 100) < 0.01) return frame;
  }
  return Infinity;
}"""

TOGGLES = ("cats", "train", "dogs", "agree", "val")
"""Buttons of the filter bar. Clicked in the order of a Gray code, each click makes a selection not seen before."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photos", type=Path, default=ROOT / "dataset" / "sample")
    parser.add_argument("--keep", type=Path, help="folder for the stores, which are used again and not deleted")
    arguments = parser.parse_args()
    results = {}
    with folder_for_stores(arguments.keep) as folder, sync_playwright() as playwright:
        for rows in arguments.rows:
            build(folder / f"s{rows}", rows, arguments.photos)
            if rows >= LARGE_RUN:
                prepare(Store(folder / f"s{rows}"))
            else:
                add_vectors(folder / f"s{rows}")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for rows in arguments.rows:
            results[rows] = measure_store(browser, folder / f"s{rows}", arguments.rounds)
        browser.close()
    report(results)


def prepare(store: Store) -> None:
    seglib_prepare = [sys.executable, "-m", "seglib", "prepare", "--store", str(store.path)]
    subprocess.run(seglib_prepare, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def empty_app_command(folder: Path) -> Callable[[int], list[str]]:
    (folder / "empty.py").write_text(EMPTY_PAGE)
    app = folder / "empty_app.py"
    app.write_text(EMPTY_APP)
    flags = ["--server.headless", "true", "--server.fileWatcherType", "none", "--browser.gatherUsageStats", "false"]
    command = [sys.executable, "-m", "streamlit", "run", str(app), *flags, "--server.port"]
    return lambda port: [*command, str(port)]


# --- one store ---------------------------------------------------------------------------------------------------

Times = dict[str, list[float]]


def measure_store(browser: Browser, store: Path, rounds: int) -> dict[str, float]:
    """What is measured -> median; times in seconds."""
    found: Times = defaultdict(list)
    with run_server(empty_app_command(store.parent)) as floor, run_server(dashboard_command(store)) as server:
        start = server.memory_mb()
        with visit(browser, floor.url, FLOOR):
            pass  # the first visit of a server imports what all others need
        with visit(browser, f"{server.url}/{CHARTS}") as page:
            cold = marks(page)
        after_cold = server.memory_mb()
        for _ in range(rounds):
            measure_round(browser, floor, server, found)
        with visit(browser, f"{server.url}/{CHARTS}") as page:
            interactions(page, store, rounds, found)
            found["bytes"] = [page_bytes(page)]
        with visit(browser, f"{server.url}/{OWN_CHART}") as page:
            found["own chart"] = [choose(page, "Along x", f"Share of {name}") for name in OWN_CLASSES[:rounds]]
            found["own boxes"] = [choose(page, "Kind", "Boxes")]
            found["own boxes"] += [choose(page, "Along y", f"Share of {name}") for name in OWN_CLASSES[:rounds]]
        if list_sources(Store(store)):
            measure_similar(browser, server.url, rounds, found, visit=visit, time_click=time_click)
        constants = {"cold figures": cold["figures"], "cold charts": cold["quiet"], "memory at start": start}
        constants |= {"memory after the first visit": after_cold, "memory at the end": server.memory_mb()}
        constants["memory at most"] = server.memory_mb("VmHWM")
    return {name: statistics.median(values) for name, values in found.items()} | constants


@contextlib.contextmanager
def visit(browser: Browser, url: str, drawn: str = CHART) -> Iterator[Page]:
    """A page in a new context, drawn to the end; `drawn` is a part of it that comes late."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(120_000)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(drawn)
    page.wait_for_function(QUIET)
    assert page.get_by_test_id("stException").count() == 0
    yield page
    context.close()


def marks(page: Page) -> dict[str, float]:
    """Seconds since the start of the navigation."""
    found: dict[str, float] = page.evaluate("() => ({ ...bench.marks, quiet: bench.last })")
    return {name: milliseconds / 1000 for name, milliseconds in found.items()}


def measure_round(browser: Browser, floor: Server, server: Server, found: Times) -> None:
    with visit(browser, floor.url, FLOOR) as page:
        found["floor"].append(marks(page)["floor"])
        found["floor click"].append(time_click(page, page.get_by_role("button", name="again").click))
    with visit(browser, f"{server.url}/explore", TILE) as page:
        there = marks(page)
        found["figures"].append(there["figures"])
        found["row"].append(there["row"])
        found["explore"].append(there["quiet"])
        found["expression"].append(apply_expression(page, len(found["expression"])))
    with visit(browser, f"{server.url}/{CHARTS}") as page:
        found["explore charts"].append(marks(page)["quiet"])
    with visit(browser, server.url) as page:
        found["overview charts"].append(marks(page)["quiet"])


def apply_expression(page: Page, number: int) -> float:
    """Seconds from Enter to the last change, for an expression that nobody has asked for before."""
    box = page.get_by_role("textbox", name="Expression")
    box.fill(f"share.cat > {0.1 + number / 1000:.3f} and (label = dogs or not agreement = agrees)")
    return time_click(page, lambda: box.press("Enter"))


def choose(page: Page, label: str, option: str) -> float:
    """Seconds from the click on an option of a drop-down to the last change."""
    box = page.get_by_role("combobox", name=label)
    box.click()
    box.fill(option)  # only the options in view are in the page
    return time_click(page, page.get_by_role("option", name=option, exact=True).click)


def time_click(page: Page, click: Callable[[], None]) -> float:
    """From the click to the last change of the page."""
    click()
    page.wait_for_timeout(100)  # the server's answer is on its way
    page.wait_for_function(QUIET)
    took: float = page.evaluate("() => (bench.last - bench.clicked) / 1000")
    return took


def interactions(page: Page, store: Path, rounds: int, found: Times) -> None:
    for _ in range(rounds):
        found["next page"].append(time_click(page, page.get_by_role("button", name="Next page").click))
    found["opacity frames"] = [page.evaluate(OPACITY) for _ in range(rounds)]
    for number in range(rounds):
        found["image"].append(time_click(page, page.locator("figure.tile a.open").nth(number).click))
        assert page.locator("canvas[aria-busy=false]").count() > 0
        page.go_back()
        page.locator("figure.tile").first.wait_for()
        page.wait_for_function(QUIET)
    buttons = page.get_by_test_id("stSidebar").get_by_role("button")
    asked = []
    for number in range(1, 2 * rounds + 1):
        toggle = TOGGLES[(number & -number).bit_length() - 1]
        found["filter"].append(time_click(page, buttons.filter(has_text=toggle).first.click))
        asked.append((urlsplit(page.url).query, page.locator("dl.figures dd b").first.inner_text()))
    check(store, asked)


def check(store: Path, asked: list[tuple[str, str]]) -> None:
    """What the page said of each selection is what the library says."""
    opened = Store(store)
    table = opened.table([opened.run().run])
    for query, said in asked:
        where = urlencode([(key, text) for key, text in parse_qsl(query) if key in FILTERS])  # none is of a class here
        assert said == f"{len(select(table, Filters.decode(where))):,}", (where, said)


def page_bytes(page: Page) -> float:
    """MB received for the next page of the gallery, looked at to its end."""
    received = [0]
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    session.on("Network.webSocketFrameReceived", lambda event: received.append(frame_bytes(event["response"])))
    time_click(page, page.get_by_role("button", name="Next page").click)
    tiles = page.locator("figure.tile")
    assert tiles.count() == 48
    for number in range(0, 48, 2):
        tiles.nth(number).scroll_into_view_if_needed()
    page.wait_for_function("() => bench.pictures().every((image) => image.complete && image.naturalWidth > 0)")
    page.wait_for_function(QUIET)
    return sum(received) / 1e6


def frame_bytes(response: dict) -> int:
    data = response["payloadData"]
    return len(data) if response["opcode"] == 1 else len(base64.b64decode(data))


# --- the table ---------------------------------------------------------------------------------------------------


def report(results: dict[int, dict[str, float]]) -> None:
    lines: dict[str, Callable[[dict[str, float]], str]] = {
        "empty page (floor), s": lambda r: f"{r['floor']:.2f}",
        "key figures, s above the floor": lambda r: f"{r['figures'] - r['floor']:.2f}",
        "key figures and first gallery row, s above the floor": lambda r: f"{r['row'] - r['floor']:.2f}",
        "all charts of Overview, s above the floor": lambda r: f"{r['overview charts'] - r['floor']:.2f}",
        "all pictures of Explore, s above the floor": lambda r: f"{r['explore'] - r['floor']:.2f}",
        "the same with charts, s above the floor": lambda r: f"{r['explore charts'] - r['floor']:.2f}",
        "click on an empty page (floor), s": lambda r: f"{r['floor click']:.2f}",
        "filter changed: charts and gallery, s": lambda r: f"{r['filter']:.2f}",
        "expression: Enter to gallery, s": lambda r: f"{r['expression']:.2f}",
        "next gallery page, s": lambda r: f"{r['next page']:.2f}",
        "image opened from the gallery, s": lambda r: f"{r['image']:.2f}",
        "opacity changed, frames": lambda r: f"{r['opacity frames']:.0f}",
        "own chart: another field, s": lambda r: f"{r['own chart']:.2f}",
        "own chart: boxes by folder, s": lambda r: f"{r['own boxes']:.2f}",
        "map of Similar drawn, s above the floor": lambda r: f"{r['map'] - r['floor']:.2f}",
        "map and gallery of Similar, s above the floor": lambda r: f"{r['similar page'] - r['floor']:.2f}",
        "lasso: photos in the gallery, s": lambda r: f"{r['lasso']:.2f}",
        "similar photos of one, from its card, s": lambda r: f"{r['similar']:.2f}",
        "cold: map of Similar, s": lambda r: f"{r['cold map']:.2f}",
        "one gallery page of 48, MB received": lambda r: f"{r['bytes']:.2f}",
        "cold: key figures, s": lambda r: f"{r['cold figures']:.2f}",
        "cold: all of Explore, s": lambda r: f"{r['cold charts']:.2f}",
        "server memory at the start, MB": lambda r: f"{r['memory at start']:.0f}",
        "server memory after the first visit, MB": lambda r: f"{r['memory after the first visit']:.0f}",
        "server memory at the end, MB": lambda r: f"{r['memory at the end']:.0f}",
        "server memory at most, MB": lambda r: f"{r['memory at most']:.0f}",
    }
    print("| rows | " + " | ".join(f"{rows:,}" for rows in results) + " |")
    print("|---|" + "---|" * len(results))
    for name, write in lines.items():
        print(f"| {name} | " + " | ".join(_cell(write, result) for result in results.values()) + " |")


def _cell(write: Callable[[dict[str, float]], str], result: dict[str, float]) -> str:
    try:
        return write(result)
    except KeyError:  # not measured on a store of this size
        return ""


if __name__ == "__main__":
    main()
