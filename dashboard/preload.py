"""Tells the browser with the page itself which scripts it will need, so that they come while the app starts.

In: the page on its way to the browser. Out: the same with a `Link` header. Without it the browser learns of the scripts
of buttons, charts and galleries only when the first of them is to be drawn, and then fetches dozens one after the
other. Where Streamlit names its files differently, nothing is announced. Knows nothing of pages or stores.
"""

import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.settings import own_address

PARTS: tuple[str, ...] = (
    *("Html", "BidiComponent", "ButtonGroup", "Button", "DownloadButton", "Multiselect", "Selectbox"),
    *("Slider", "TextInput", "Pagination"),
)
"""Streamlit's scripts for what our pages draw, by the names of its files before the dot."""

_STATIC = Path(streamlit.__file__).parent / "static"
_IMPORTED = re.compile(r"""(?:from|import)\s*["']\./([\w.-]+\.js)["']""")
"""Behind `import("./x.js")` stands what may be needed later, or never."""

_ASKED = re.compile(r"static/js/([\w.-]+\.js)")


class Preload:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def announce(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                if header() and (b"content-type", b"text/html") in [(k.lower(), v[:9]) for k, v in headers]:
                    message = {**message, "headers": [*headers, (b"link", header())]}
            await send(message)

        await self._app(scope, receive, announce if scope["type"] == "http" else send)


@cache
def header() -> bytes:
    links = (f"<{own_address('/static/js/')}{name}>; rel=modulepreload; fetchpriority=low" for name in scripts(_STATIC))
    return ", ".join(links).encode()


def scripts(static: Path) -> list[str]:
    """Names of the scripts behind `PARTS` with all that they import, without what the page itself asks for."""
    folder = static / "static" / "js"
    page = static / "index.html"
    if not (folder.is_dir() and page.is_file()):
        return []
    wanted = [path.name for part in PARTS for path in folder.glob(f"{part}.*.js")]
    found: dict[str, None] = {}
    while wanted:
        name = wanted.pop(0)
        if name not in found and (folder / name).is_file():
            found[name] = None
            wanted += _IMPORTED.findall((folder / name).read_text("utf-8"))
    asked = set(_ASKED.findall(page.read_text("utf-8")))
    return [name for name in found if name not in asked]
