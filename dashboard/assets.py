"""Answers for Streamlit's own scripts, styles and fonts at once.

A first visit asks for a hundred of these files; through all of Streamlit's layers each takes a millisecond of the one
process that also draws the pages. Their names hold a hash of what is in them, so they are sent as they lie on the disk,
to be kept for ever, just as Streamlit does. What is not such a file goes on. Knows nothing of pages or stores.
"""

import contextlib
import mimetypes
import re
from pathlib import Path

import streamlit
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.settings import own_address

FOLDER = Path(streamlit.__file__).parent / "static" / "static"

_HASHED = re.compile(r"(?:js|css|media)/[\w-]+(?:\.[\w-]+)*\.[\w-]{8}\.(?:js|css|woff2)\Z")


class Assets:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        found = (path for path in FOLDER.rglob("*") if path.is_file())
        names = {path.relative_to(FOLDER).as_posix(): path for path in found}
        self._files = {own_address("/static/") + name: path for name, path in names.items() if _HASHED.match(name)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._files.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        body = None
        if path is not None:
            with contextlib.suppress(OSError):  # an upgrade has taken it away
                body = path.read_bytes()
        if path is None or body is None:
            await self._app(scope, receive, send)
            return
        headers = [
            (b"content-type", (mimetypes.guess_type(path.name)[0] or "application/octet-stream").encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"public, immutable, max-age=31536000"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
