"""One line per request and WebSocket on standard error, from the level that `--log-level` names.

    2026-11-28 15:02:11 WARNING 127.0.0.1 GET /media-api/overlay/0a1b 404 3 ms

Errors of the server (5xx, and faults with their traceback) are ERROR, refused and unknown addresses (4xx) WARNING,
checks of the health address DEBUG, all others INFO. Query strings are left out, since they hold filters and names of
folders. Behind a reverse proxy the client is that proxy, whose own log names the visitors.
"""

import logging
import sys
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.settings import ServerSettings

FORMAT = "%(asctime)s %(levelname)s %(message)s"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

HEALTH_PATH = "/_stcore/health"

_LOG = logging.getLogger("dashboard.requests")

_STATUS_OF_MESSAGES = {"websocket.accept": 101, "websocket.close": 403}
"""A WebSocket that is closed without having been accepted is answered with 403."""


def set_up() -> None:
    """Send the log to standard error, at the level of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT, TIME_FORMAT))
    _LOG.handlers[:] = [handler]
    _LOG.propagate = False
    _LOG.setLevel(ServerSettings.read().log_level.upper())


class RequestLogMiddleware:
    """ASGI middleware that logs what all others answer; the first of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        set_up()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not status:
                status = _STATUS_OF_MESSAGES.get(message["type"], 0)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            status = 500
            _LOG.exception("%s", _describe(scope, status, started))
            raise
        else:
            level = _level(scope["path"], status)
            if _LOG.isEnabledFor(level):
                _LOG.log(level, "%s", _describe(scope, status, started))


def _level(path: str, status: int) -> int:
    if status >= 500:
        return logging.ERROR
    if status >= 400:
        return logging.WARNING
    return logging.DEBUG if path.endswith(HEALTH_PATH) else logging.INFO


def _describe(scope: Scope, status: int, started: float) -> str:
    """Client, method, path, status and duration; `-` if a client left before it was answered."""
    client = scope["client"][0] if scope.get("client") else "-"
    method = scope.get("method", "WEBSOCKET")
    milliseconds = 1000 * (time.perf_counter() - started)
    return f"{client} {method} {quote(scope['path'])} {status or '-'} {milliseconds:.0f} ms"
