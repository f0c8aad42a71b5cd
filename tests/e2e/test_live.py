"""The live view with Chromium's fake camera: it moves, pauses, keeps a frame, and ends when its page is left."""

import pytest

from tests.conftest import SAMPLE
from tests.e2e.camera import write_video
from tests.e2e.conftest import CHROMIUM
from tests.e2e.conftest import FLAGS as USUAL_FLAGS
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, opened, settle

pytestmark = pytest.mark.e2e

WATCH = """(() => {
  window.opened = { tracks: [], sockets: [], sent: 0, answered: 0 };
  const { mediaDevices } = navigator;
  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    opened.tracks.push(...stream.getTracks());
    return stream;
  };
  const Plain = WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...all) {
      super(...all);
      if (!this.url.includes("/live-api")) return;
      opened.sockets.push(this);
      this.addEventListener("message", ({ data }) => {
        if (typeof data === "string") return;
        const bytes = new Uint8Array(data); // the frame's number is in the line of JSON before the mask
        opened.answered = 1 + JSON.parse(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(10)))).frame;
      });
    }
    send(data) {
      if (this.url.includes("/live-api") && typeof data !== "string") opened.sent += 1;
      super.send(data);
    }
  };
})()"""
# a frame that waits at the server is replaced by a newer one, and has no answer; the last one sent always has
QUIET = """() => {
  opened.quiet = opened.sent === opened.answered ? opened.quiet || performance.now() : 0;
  return opened.quiet && performance.now() - opened.quiet > 400;
}"""
STATES = "() => [opened.tracks.map(track => track.readyState), opened.sockets.map(socket => socket.readyState)]"
ENDED = """count => opened.tracks.length === count && opened.tracks.every(track => track.readyState === "ended")
  && opened.sockets.length === count && opened.sockets.every(socket => socket.readyState === WebSocket.CLOSED)"""
PIXELS = """canvas => [...new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  .data.buffer)].reduce((sum, value) => (31 * sum + value) | 0, 0)"""


def test_the_mask_follows_the_camera_and_all_ends_with_the_page(start, small, chromium, tmp_path):
    photos = [SAMPLE / "cats" / "chelsea.png", SAMPLE / "others" / "horse.webp"]
    camera = write_video(tmp_path / "camera.y4m", photos, size_wh=(320, 240), frames=8, rate=10)
    browser = chromium.browser_type.launch(executable_path=str(CHROMIUM), args=[*USUAL_FLAGS, *camera])
    server = start(small)
    files = sorted((path, path.stat().st_mtime_ns) for path in small.parent.rglob("*"))
    try:
        page = opened(browser, server.url, width=1024, drawn="h1", permissions=["camera"])
        page.context.add_init_script(WATCH)
        page.goto(f"{server.url}/try?try=live")
        page.get_by_role("button", name="Start camera").click()
        page.locator("figure[data-masks]").wait_for(timeout=120_000)
        canvas = page.locator("figure canvas.mask")
        seen = canvas.evaluate(PIXELS)
        masks = {seen}
        while len(masks) < 3:  # the pan, and another photo
            page.wait_for_timeout(100)
            masks.add(canvas.evaluate(PIXELS))
        page.get_by_text("frames/s, delay").wait_for()
        assert violations(page) == []
        assert page.evaluate(SIDEWAYS) == [0, 0]

        page.get_by_role("button", name="Pause").click()
        page.wait_for_function(QUIET)  # while it is live, a frame is always on its way
        sent = page.evaluate("opened.sent")
        page.get_by_role("button", name="Pause").click()
        page.wait_for_function("sent => opened.sent > sent", arg=sent)
        page.get_by_role("button", name="Keep frame").click()
        page.get_by_text("1 photo kept for this visit").wait_for()
        assert page.evaluate(STATES) == [["live"], [1]]  # keeping a frame ends nothing
        page.get_by_role("button", name="Show with all figures").click()
        page.get_by_role("heading", name="Figures").wait_for()
        page.wait_for_function(ENDED, arg=1)
        page.get_by_text("kept: frame 1.jpg").wait_for()

        page.get_by_role("radio", name="Live camera").click()
        page.get_by_role("button", name="Start camera").click()
        page.locator("figure[data-masks]").wait_for()
        page.evaluate("""() => {
          Object.defineProperty(document, "hidden", { value: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""")
        page.get_by_text("Stopped, because this page was out of view").wait_for()
        page.wait_for_function(ENDED, arg=2)
        settle(page)
        assert page.faults == []
    finally:
        browser.close()
    assert sorted((path, path.stat().st_mtime_ns) for path in small.parent.rglob("*")) == files  # nothing is stored
