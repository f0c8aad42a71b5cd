"""ASGI middleware that validates Host and Origin (DNS rebinding, cross-site WebSockets).

DNS rebinding: a page of another site whose name resolves to this machine sends that name in `Host`. Cross-site
WebSockets: a page of another site may connect without permission, but sends its own name in `Origin`; before Streamlit
rejects such a page, it asks a server on the internet for this machine's address.

Starlette's `TrustedHostMiddleware` does not replace the check of `Host`: it refuses `localhost.` and, unless names are
given in brackets, IPv6 addresses, and its answer does not say which option allows a name.

Requests to our own routes are answered here, since Streamlit's layers (sessions, compression) cost time and do nothing
for an image.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.settings import LOOPBACK_NAMES, ServerSettings

OWN_PREFIXES = ("/media-api/", "/chart-script/", "/component-script/", "/live-api/")
"""Prefixes of our own routes, with or without the base path of a reverse proxy."""

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_POLICY_VIOLATION = 1008


class HostGuardMiddleware:
    """ASGI middleware that rejects invalid requests and dispatches our own routes."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes_app = Starlette(routes=routes)
        self._settings = ServerSettings.read()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif not (reason := refusal_reason(scope, self._settings.host_names)):
            path = scope["path"].removeprefix(self._settings.base_path)
            if f"{path}/".startswith(OWN_PREFIXES):
                await self._routes_app({**scope, "path": path, "raw_path": path.encode()}, receive, send)
            else:
                await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await PlainTextResponse(reason, 403)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


def refusal_reason(scope: Scope, names: tuple[str, ...]) -> str:
    """Return why a request is rejected, or an empty text. `names`: accepted host names; empty accepts any."""
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if names and _host_name(host) not in names:
        return "This server does not answer to this host name: start it with --allow-host NAME."
    if scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS:
        named = set(names) - set(LOOPBACK_NAMES)  # another port of this machine is another site
        if (
            origin is not None
            and _origin_host(origin) != host.lower()
            and _host_name(_origin_host(origin)) not in named
        ):
            return "This server does not answer pages of other sites."
    return ""


def _host_name(host: str) -> str:
    """Return the host name in lower case without the port; empty if it is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "").rstrip(".") if parts.port != 0 else ""  # `port` raises unless it is a number
    except ValueError:
        return ""


def _origin_host(origin: str) -> str:
    """Return the host and port of an origin; `null` if it is opaque (such as a local file) or invalid."""
    try:
        return urlsplit(origin).netloc.lower() or "null"
    except ValueError:
        return "null"
