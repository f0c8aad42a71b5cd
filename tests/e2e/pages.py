"""Pages of the browser, which are used again: one that has shown a Streamlit app shows the next in half the time, since
its process has the scripts compiled.
"""

import random
from urllib.parse import urlsplit

KEPT = 3
"""Pages; each is a process."""

WATCH = """(() => {
  const RERUN = 0x5a, NEW_SESSION = 4; // of Streamlit's messages: the first byte of one, the number of a field
  const readNumber = (bytes, at) => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      value += (bytes[at] & 0x7f) * 2 ** shift;
      if (bytes[at++] < 0x80) return [value, at];
    }
  };
  const has = (bytes, field) => {
    for (let at = 0, tag, size; at < bytes.length; at += size) {
      [tag, at] = readNumber(bytes, at);
      if (tag >> 3 === field) return true;
      [size, at] = readNumber(bytes, at);
      if ((tag & 7) !== 2) size = 0; // a number, which has been read
    }
    return false;
  };
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...all) {
      super(...all);
      if (!this.url.includes("/_stcore/stream")) return;
      this.addEventListener("message", ({ data }) => {
        if (has(new Uint8Array(data), NEW_SESSION)) window.rerunAwaited = false;
      });
      this.send = (data) => {
        if (new Uint8Array(data.buffer ?? data)[data.byteOffset ?? 0] === RERUN) window.rerunAwaited = true;
        super.send(data);
      };
    }
  };
})()"""
"""Notes whether the page has asked the server for a rerun that has not begun."""

SETTLED = """([token, frames, last]) => {
  const { testConnectionState, testScriptState } = document.querySelector("[data-testid=stApp]")?.dataset ?? {};
  const idle = testConnectionState === "CONNECTED" && testScriptState === "notRunning" && !window.rerunAwaited;
  if (window.settling !== token) [window.settling, window.calm] = [token, 0];
  window.calm = idle && !(last && document.querySelector(last)) ? window.calm + 1 : 0;
  return window.calm > frames;
}"""
"""Nothing runs and no rerun is awaited, for some frames in a row; and what comes `last` has come."""

FRAMES = 6
"""In which a click has asked for its rerun, and the elements that have come are drawn."""


def new_page(browser, url: str, *, scheme: str = "light", width: int = 1440, **options):
    """A page for this address on which nothing is left of others; its faults are collected in `page.faults`.

    With options, or in a browser that a test has started itself, it has a context of its own.
    """
    if options or not browser.contexts:
        page = _made(browser.new_context(**options))
    else:
        shared = browser.contexts[0]
        page = next((page for page in shared.pages if getattr(page, "idle", False)), None) or _made(shared)
    page.idle = False
    page.bring_to_front()  # a tab behind another one is drawn once a second
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    _forget_stored(page, url)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda request: page.faults.extend(_foreign(request.url, url)))
    return page


def settle(page, *, last: str = "", timeout: float = 60_000) -> None:
    """Wait until the page shows all that it was asked for; `last` selects what stands in for what comes last."""
    page.wait_for_function(SETTLED, arg=[random.random(), FRAMES, last], timeout=timeout)
    assert page.get_by_test_id("stException").count() == 0, page.url


def _made(context):
    page = context.new_page()
    page.add_init_script(WATCH)
    page.set_default_timeout(30_000)
    page.inspector = context.new_cdp_session(page)
    page.idle, page.heard, listen = False, [], page.on

    def on(event: str, handler) -> None:
        page.heard.append((event, handler))
        listen(event, handler)

    page.on = on
    return page


def _forget_stored(page, url: str) -> None:
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    page.inspector.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "cookies,local_storage"})


def keep_some(context) -> None:
    """Of the pages of this context, leave at most `KEPT`, and of these only the process."""
    ours = [page for page in context.pages if hasattr(page, "heard")]
    for page in context.pages:
        if page not in ours[:KEPT]:
            page.close()
        elif not page.idle:
            for event, handler in page.heard:
                page.remove_listener(event, handler)
            page.heard.clear()
            page.mouse.move(0, 0)
            page.goto("about:blank")
            page.inspector.send("Page.resetNavigationHistory")
            page.idle = True


def close_list(page, tries: int = 20) -> None:
    """Close the list of a select box; a rerun that ends after the choice may open it again."""
    options = page.get_by_role("listbox")
    for _ in range(tries):
        if not options.count():
            return
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)
    raise AssertionError("the list of options stays open")


def _foreign(asked: str, own: str) -> list[str]:
    """A request that leaves this machine is a fault: the dashboard works without any network."""
    parts = urlsplit(asked)
    return [asked] if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(own).netloc else []
