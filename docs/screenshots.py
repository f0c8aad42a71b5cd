"""Make the pictures of the documentation again: python docs/screenshots.py

Runs the embedded networks over the sample into a temporary store, as the first start does, opens every page in
headless Chromium, and writes docs/<page>.webp, each below 300 kB. Only the sample's photos are in them. Needs
tests/requirements.txt.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from dashboard.__main__ import run_sample  # noqa: E402
from tests.e2e.camera import write_video  # noqa: E402
from tests.e2e.conftest import CHROMIUM, FLAGS, Server  # noqa: E402

MOST_BYTES = 300_000
SETTLED = '[data-testid="stApp"][data-test-connection-state="CONNECTED"][data-test-script-state="notRunning"]'


def settle(page: Any) -> None:
    page.wait_for_timeout(500)
    page.wait_for_selector(SETTLED)
    page.wait_for_timeout(1500)  # pictures and charts


def pick_two(page: Any) -> None:
    for name in ("cats/egyptian.jpg", "others/horse.webp"):
        page.get_by_role("checkbox", name=f"Select {name}").click()
        settle(page)


def try_a_photo(page: Any) -> None:
    page.locator("input[type=file]").first.set_input_files(ROOT / "dataset/sample/dogs/dog_bicycle_car.jpg")
    page.locator("canvas").first.wait_for(timeout=60_000)


def go_live(page: Any) -> None:
    page.get_by_role("button", name="Start camera").click()
    page.get_by_text("frames/s").wait_for(timeout=60_000)


def counted(page: Any) -> None:
    """The photos are counted by themselves."""
    page.locator("figure.tile").first.wait_for(timeout=60_000)


def most_disagreeing(page: Any) -> None:
    counted(page)
    page.locator("figure.tile a").first.click()
    page.locator("canvas[aria-busy=false]").wait_for()


def nothing(_: Any) -> None:
    """The page as it opens."""


@dataclass(frozen=True)
class Shot:
    address: str
    prepare: Callable[[Any], None] = nothing
    scheme: str = "light"
    width: int = 1440


SHOTS: dict[str, Shot] = {
    "overview": Shot(""),
    "explore": Shot("explore?sort=confidence", pick_two),
    "image": Shot("image?path=egyptian"),
    "compare": Shot("compare", counted),
    "difference": Shot("compare", most_disagreeing),
    "runs": Shot("runs"),
    "try": Shot("try", try_a_photo),
    "live": Shot("try?try=live", go_live),
    "dark": Shot("explore?label=cats&label=dogs", scheme="dark"),
    "phone": Shot("explore", width=390),
}
"""Name of the picture -> what is on it."""


def write(name: str, picture: bytes) -> None:
    """As WebP, as good as fits."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for quality in (88, 80, 70, 60):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= MOST_BYTES:
            break
    (DOCS / f"{name}.webp").write_bytes(buffer.getvalue())
    print(f"{name}.webp {buffer.tell() / 1000:.0f} kB")


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = Path(folder) / "store"
        run_sample(store)
        server = Server(store, Path(folder) / "server.log")
        photo = ROOT / "dataset/sample/cats/persian.jpg"
        camera = write_video(Path(folder) / "camera.y4m", [photo], size_wh=(640, 480), frames=60, rate=10)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *camera])
        try:
            for name, shot in SHOTS.items():
                size = {"width": shot.width, "height": 1000}
                context = browser.new_context(viewport=size, color_scheme=shot.scheme)
                page = context.new_page()
                page.goto(f"{server.url}/{shot.address}")
                page.get_by_role("heading", level=1).wait_for()
                settle(page)
                shot.prepare(page)
                settle(page)
                write(name, page.screenshot())
                context.close()
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()
