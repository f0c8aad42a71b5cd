"""The door that each request comes through first: under which name this server answers, and to whose pages.

In: requests. Out: the same for Streamlit; the answer of one of our own routes, at once, since what Streamlit puts
around each answer (sessions, compression) takes its time and does nothing for a picture; or a refusal. Two things that
browsers do are stopped here. A page of another site that had its name point to this machine (DNS rebinding) comes with
that name in `Host`. A page of another site that connects to this one (a websocket needs no permission) comes with its
own name in `Origin`; Streamlit, before it refuses such a page, asks a server on the internet for this machine's
address. Knows nothing of pages, stores or passwords.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.settings import LOOPBACK_NAMES, Settings

OWN = ("/media-api/", "/chart-script/")
"""Below these, with and without the path under which a proxy shows this server."""

_HARMLESS = ("GET", "HEAD", "OPTIONS")
_POLICY_VIOLATION = 1008


class Doors:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, own: Sequence[Route]) -> None:
        self._app = app
        self._own = Starlette(routes=own)
        self._settings = Settings.read()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif not (reason := objection(scope, self._settings.names)):
            path = scope["path"].removeprefix(self._settings.base)
            if scope["type"] == "http" and f"{path}/".startswith(OWN):
                await self._own({**scope, "path": path, "raw_path": path.encode()}, receive, send)
            else:
                await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse(reason, 403)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


def objection(scope: Scope, names: tuple[str, ...]) -> str:
    """Why a request is refused, or nothing. `names`: under which this server answers; none means any."""
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if names and _name(host) not in names:
        return "This server does not answer to this name: start it with --allow-host NAME."
    if scope["type"] == "websocket" or scope["method"] not in _HARMLESS:
        named = set(names) - set(LOOPBACK_NAMES)  # a page of another port of this machine is another site
        if origin is not None and _place(origin) != host.lower() and _name(_place(origin)) not in named:
            return "This server does not answer to pages of other sites."
    return ""


def _name(host: str) -> str:
    """Without the port, in small letters; empty if it is no name."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "").rstrip(".") if parts.port != 0 else ""  # asked for, a port must be a number
    except ValueError:
        return ""


def _place(origin: str) -> str:
    """The name and port of a page's site; of `null`, as of a file's page, nothing that a host is called."""
    try:
        return urlsplit(origin).netloc.lower() or "null"
    except ValueError:
        return "null"
