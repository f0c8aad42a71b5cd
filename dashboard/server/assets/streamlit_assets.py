"""ASGI middleware that serves Streamlit's static files directly and preloads the scripts that the pages need.

A first visit requests about a hundred of these files, and each takes a millisecond in Streamlit's layers, in the same
process that draws the pages. Their names contain a content hash, so they are sent from disk as immutable, just as
Streamlit does. All other requests are passed on.
"""

import contextlib
import json
import mimetypes
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import streamlit
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import get_option

from dashboard.server.assets import component_scripts
from dashboard.settings import with_base_path

_STATIC = Path(streamlit.__file__).parent / "static"
ASSET_FOLDER = _STATIC / "static"
_HASHED = re.compile(r"(?:js|css|media)/[\w-]+(?:\.[\w-]+)*\.[\w-]{8}\.(?:js|css|woff2)\Z")

PRELOADED_WIDGETS: tuple[str, ...] = (
    *("Html", "BidiComponent", "ButtonGroup", "Button", "DownloadButton", "Multiselect", "Selectbox"),
    *("Slider", "TextInput", "Pagination"),
)
"""Streamlit scripts for the elements on our pages: file names up to the first dot."""

PRELOADED_COMPONENTS = (
    *("seglib_chart", "seglib_copy_link", "seglib_expression", "seglib_gallery", "seglib_matrix"),
    "seglib_photo_strip",
)
"""Our own components on the pages that most visitors see first."""

_IMPORT_STATEMENT = re.compile(r"""(?:from|import)\s*["']\./([\w.-]+\.js)["']""")
"""Static imports only: those in `import("./x.js")` may be needed later or never."""

_SCRIPT_REFERENCE = re.compile(r"static/js/([\w.-]+\.js)")

_BODY_HEADERS = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
"""Request headers about the original file's bytes; removed, because the page is modified."""


class AssetMiddleware:
    """ASGI middleware that serves Streamlit's hashed static files."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        files = (path for path in ASSET_FOLDER.rglob("*") if path.is_file())
        names = {path.relative_to(ASSET_FOLDER).as_posix(): path for path in files}
        self._files = {with_base_path("/static/") + name: path for name, path in names.items() if _HASHED.match(name)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._files.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        body = None
        if path is not None:
            with contextlib.suppress(OSError):  # removed by an upgrade
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


class PreloadMiddleware:
    """ASGI middleware that adds `modulepreload` links and Streamlit's server configuration to the page's head."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or b"text/html" not in _header(scope, b"accept"):
            await self._app(scope, receive, send)
            return
        start: Message | None = None  # of a page: held back until the length is known
        page = b""

        async def send_page(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start" and _is_page(message):
                start = message
            elif start is None:
                await send(message)
            else:
                page += message.get("body", b"")
                if not message.get("more_body"):
                    page = page.replace(b"</head>", head_html() + b"</head>", 1)
                    await send({**start, "headers": _with_length(start["headers"], len(page))})
                    await send({"type": "http.response.body", "body": page})

        await self._app(
            {**scope, "headers": [h for h in scope["headers"] if h[0] not in _BODY_HEADERS]}, receive, send_page
        )


def _header(scope: Scope, wanted: bytes) -> bytes:
    return b",".join(value for name, value in scope["headers"] if name == wanted)


def _is_page(start: Message) -> bool:
    return start["status"] == 200 and any(
        name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in start["headers"]
    )


def _with_length(headers: Iterable[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    about_file = (b"content-length", b"etag", b"last-modified", b"accept-ranges")
    return [(k, v) for k, v in headers if k.lower() not in about_file] + [(b"content-length", b"%d" % length)]


@cache
def head_html() -> bytes:
    """Return the markup that is added to the page's head."""
    config = {"allowedOrigins": get_option("client.allowedOrigins"), "useExternalAuthToken": False}
    server = f"BACKEND_BASE_URL: location.origin + {json.dumps(with_base_path('/'))}, HOST_CONFIG: {json.dumps(config)}"
    scripts = [f"/static/js/{name}" for name in find_scripts(_STATIC)]
    scripts += component_scripts.addresses(PRELOADED_COMPONENTS)
    links = (f'<link rel="modulepreload" href="{with_base_path(script)}">' for script in scripts)
    return "".join((f"<script>window.__streamlit = {{{server}}}</script>", *links)).encode()


def find_scripts(static: Path) -> list[str]:
    """Return the scripts of `PRELOADED_WIDGETS` and their imports, except those that the page itself requests."""
    folder = static / "static" / "js"
    page = static / "index.html"
    if not (folder.is_dir() and page.is_file()):
        return []
    wanted = [path.name for part in PRELOADED_WIDGETS for path in folder.glob(f"{part}.*.js")]
    names: dict[str, None] = {}
    while wanted:
        name = wanted.pop(0)
        if name not in names and (folder / name).is_file():
            names[name] = None
            wanted += _IMPORT_STATEMENT.findall((folder / name).read_text("utf-8"))
    referenced = set(_SCRIPT_REFERENCE.findall(page.read_text("utf-8")))
    return [name for name in names if name not in referenced]
