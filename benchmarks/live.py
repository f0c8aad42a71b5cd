"""Measures the live view of Try: frames a second and delay with Chromium's fake camera, for one and several visitors.

    python benchmarks/live.py [--seconds 60] [--visitors 1 3] [--models M1 M2,M1] [--photos DIR] [--out FILE.json]

The camera is a video of the photos, 640 x 480 at 30 frames a second. Visitors are pages of one headless Chromium, which
shares the machine's cores with the server. A frame counts when its masks are drawn, and its delay runs from the moment
it was grabbed to that moment, as the page shows them. Memory is read before, halfway and at the end of the time, of the
server and of the process that runs the models. Files of the store that appear or change meanwhile are counted.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from servers import Server, dashboard_command, folder_for_stores, run_server
from synthetic import build

from dashboard import CHROMIUM, FLAGS  # the benchmark beside this one
from tests.e2e.camera import write_video

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("fcn_mobilenet_v2", "unet_mobilenet_v2", "fcn_mobilenet_v2,unet_mobilenet_v2")
WATCH = """figure => {
  window.seen = [];
  const note = () => seen.push([performance.now(), Number(figure.dataset.delay)]);
  new MutationObserver(note).observe(figure, { attributeFilter: ["data-delay"] });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--models", nargs="+", default=MODELS, help="what each visitor has side by side, with commas")
    parser.add_argument("--photos", type=Path, default=ROOT / "dataset" / "sample")
    parser.add_argument("--keep", type=Path, help="folder for the store and the video, which are used again")
    parser.add_argument("--out", type=Path, help="the same figures as JSON, for programs")
    arguments = parser.parse_args()
    measured = []
    with folder_for_stores(arguments.keep) as folder, sync_playwright() as playwright:
        store = folder / "store"
        build(store, 1000, arguments.photos)
        photos = sorted(path for path in arguments.photos.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
        camera = write_video(folder / "camera.y4m", photos, size_wh=(640, 480), frames=20, rate=30)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *camera])
        with run_server(dashboard_command(store)) as server:
            print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n")
            print("| models | visitors | frames/s each | delay ms | p95 | longest | server MB | models' process MB |")
            print("|---|---|---|---|---|---|---|---|")
            for models in arguments.models:
                for visitors in arguments.visitors:
                    figures = measure(browser, server, store, models.split(","), visitors, arguments.seconds)
                    measured.append(figures)
                    print(row(figures), flush=True)
            print(f"\nfiles of the store that appeared or changed: {sum(one['stored'] for one in measured)}")
        browser.close()
    if arguments.out:
        arguments.out.write_text(json.dumps(measured, indent=1), "utf-8")


def measure(
    browser: Browser, server: Server, store: Path, models: list[str], visitors: int, seconds: float
) -> dict[str, Any]:
    pages = [start(browser, server.url, models) for _ in range(visitors)]
    time.sleep(2)
    files, memory = list_files(store), [read_memory(server)]
    for page in pages:
        page.locator("figure").last.evaluate(WATCH)  # of the last model, whose mask completes a frame
    for _ in range(2):
        pages[0].wait_for_timeout(1000 * seconds / 2)
        memory.append(read_memory(server))
    seen = [page.evaluate("seen") for page in pages]
    stored = len(files ^ list_files(store))
    for page in pages:
        page.context.close()
    delays = sorted(delay for frames in seen for _, delay in frames)
    return {
        "models": models,
        "visitors": visitors,
        "rates": [1000 * (len(frames) - 1) / (frames[-1][0] - frames[0][0]) for frames in seen],
        "delay_ms": {
            "median": statistics.median(delays),
            "p95": delays[int(0.95 * len(delays))],
            "longest": delays[-1],
        },
        "server_mb": [one for one, _ in memory],
        "models_mb": [one for _, one in memory],
        "stored": stored,
    }


def start(browser: Browser, url: str, models: list[str]) -> Page:
    """A page whose live view has drawn its first mask."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{url}/try?try=live")
    box = page.get_by_role("combobox", name="Models side by side")
    box.wait_for()
    for model in models[1:] if models[0] == "fcn_mobilenet_v2" else models:
        box.click()
        page.get_by_role("option", name=model).click()
        page.keyboard.press("Escape")
        page.locator("figure", has_text=model).wait_for()
    if models[0] != "fcn_mobilenet_v2":
        page.get_by_role("button", name="Remove fcn_mobilenet_v2").or_(
            page.locator('[data-tag="fcn_mobilenet_v2"] [role=presentation]')
        ).first.click()
        page.wait_for_function("!document.body.innerText.includes('fcn_mobilenet_v2')")
    page.get_by_role("button", name="Start camera").click()
    page.locator("figure[data-masks]").last.wait_for(timeout=120_000)
    return page


def read_memory(server: Server) -> tuple[float, float]:
    """Resident MB of the server, and of the process that runs the models."""
    return server.memory_mb(), server.memory_mb(program="dashboard.workers.predict_worker")


def list_files(store: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in store.rglob("*") if path.is_file()}


def row(figures: dict[str, Any]) -> str:
    def series(values: list[float], form: str = ".0f") -> str:
        return ", ".join(f"{value:{form}}" for value in values)

    delay = figures["delay_ms"]
    return (
        f"| {' and '.join(figures['models'])} | {figures['visitors']} | {series(figures['rates'], '.1f')} "
        f"| {delay['median']:.0f} | {delay['p95']:.0f} | {delay['longest']:.0f} | {series(figures['server_mb'])} "
        f"| {series(figures['models_mb'])} |"
    )


if __name__ == "__main__":
    main()
