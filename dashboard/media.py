"""The pictures of the pages, by opaque ids: thumbnails and transparent colour masks.

    GET /media-api/thumb/<image_id>.jpg
    GET /media-api/overlay/<run>/<image_id>.png?palette=okabe-ito

In: ids of the store, checked by form and then looked up; never a path. Out: JPEG and PNG bytes that browsers may keep
for ever, since `v` in the URL changes with the file. Everything else is 404 and says nothing.
Knows nothing of Streamlit, filters or photos at full size.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import urlencode

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.settings import Settings
from dashboard.state import PALETTES
from seglib.classes import VOID, palette
from seglib.errors import SegError
from seglib.overlay import png, read_index_png
from seglib.store import Store

PREFIX = "/media-api"
_CACHE_BYTES = 32 * 1024 * 1024
_IMAGE_ID = re.compile(r"[0-9a-f]{32}\Z")
_RUN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\Z")
_VERSION = re.compile(r"[0-9a-f]{1,24}\Z")

_FOR_EVER = "public, max-age=31536000, immutable"
_REFUSED = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True)
class _File:
    """A picture of the store that is there, and the version of its content."""

    path: Path
    version: str

    @classmethod
    def found(cls, path: Path) -> "_File | None":
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(path, f"{status.st_mtime_ns:x}{status.st_size:x}"[-24:])


def thumbnail_url(store: Store, image_id: str) -> str | None:
    """Where the page finds a thumbnail; None if the store has none."""
    file = _File.found(store.thumbnail_path(image_id))
    return None if file is None else f"{PREFIX}/thumb/{image_id}.jpg?{urlencode({'v': file.version})}"


def overlay_url(store: Store, run: str, image_id: str, colours: str) -> str | None:
    """Where the page finds a colour mask; None if the store has no such mask."""
    file = _File.found(store.mask_path(run, image_id))
    return (
        None
        if file is None
        else f"{PREFIX}/overlay/{run}/{image_id}.png?{urlencode({'palette': colours, 'v': file.version})}"
    )


class _ByteCache:
    """The pictures asked for last, up to a number of bytes; safe for threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._bodies: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[str, ...]) -> bytes | None:
        with self._lock:
            if (body := self._bodies.get(key)) is not None:
                self._bodies.move_to_end(key)
            return body

    def put(self, key: tuple[str, ...], body: bytes) -> None:
        with self._lock:
            self._held += len(body) - len(self._bodies.pop(key, b""))
            self._bodies[key] = body
            while self._held > self._limit:
                self._held -= len(self._bodies.popitem(last=False)[1])


_cache = _ByteCache(_CACHE_BYTES)


def colour_mask(data: bytes, colours: str, classes: tuple[str, ...]) -> bytes:
    """An index PNG as a colour PNG of the same size: opaque classes, background and void transparent."""
    picture = Image.fromarray(read_index_png(data))
    picture.putpalette(palette(colours, classes).tobytes().ljust(3 * 256, b"\0"))
    picture.info["transparency"] = bytes(0 if value in (0, VOID) else 255 for value in range(256))
    return png(picture)


async def thumbnail(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    if not _IMAGE_ID.match(image_id) or not _only(request, {"v"}):
        return _refused()
    return await run_in_threadpool(_thumbnail, request, image_id)


async def overlay(request: Request) -> Response:
    run, image_id = request.path_params["run"], request.path_params["image_id"]
    colours = request.query_params.get("palette", PALETTES[0])
    well_formed = _RUN.match(run) and _IMAGE_ID.match(image_id) and colours in PALETTES
    if not well_formed or not _only(request, {"palette", "v"}):
        return _refused()
    return await run_in_threadpool(_overlay, request, run, image_id, colours)


async def nothing(_: Request) -> Response:
    """All else below the prefix; without it Streamlit would answer with its page."""
    return _refused()


routes = [
    Route(f"{PREFIX}/thumb/{{image_id}}.jpg", thumbnail, methods=["GET"]),
    Route(f"{PREFIX}/overlay/{{run}}/{{image_id}}.png", overlay, methods=["GET"]),
    Route(f"{PREFIX}/{{rest:path}}", nothing),
    Route(PREFIX, nothing),
]


def _thumbnail(request: Request, image_id: str) -> Response:
    try:
        file = _File.found(Store(Settings.read().store).thumbnail_path(image_id))
        if file is None:
            return _refused()
        return _answer(request, file, ("thumb", image_id), "image/jpeg", file.path.read_bytes)
    except (SegError, OSError):  # the store is gone or broken: its pages say so
        return _refused()


def _overlay(request: Request, run: str, image_id: str, colours: str) -> Response:
    try:
        store = Store(Settings.read().store)
        classes = store.run(run).classes  # an unknown run is an error like any other here
        file = _File.found(store.mask_path(run, image_id))
        if file is None:
            return _refused()
        key = ("overlay", run, image_id, colours)
        return _answer(request, file, key, "image/png", lambda: colour_mask(file.path.read_bytes(), colours, classes))
    except (SegError, OSError, ValueError, SyntaxError):  # a damaged mask is no picture
        return _refused()


def _answer(
    request: Request, file: _File, key: tuple[str, ...], media_type: str, make: Callable[[], bytes]
) -> Response:
    key = (str(file.path), file.version, *key)
    etag = '"' + hashlib.sha256("|".join(key).encode()).hexdigest()[:24] + '"'
    fresh = request.query_params.get("v", file.version) == file.version
    headers = {
        "ETag": etag,
        "Cache-Control": _FOR_EVER if fresh else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if etag in (known.strip() for known in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    body = _cache.get(key)
    if body is None:
        body = make()
        _cache.put(key, body)
    return Response(body, media_type=media_type, headers=headers)


def _only(request: Request, allowed: set[str]) -> bool:
    """No other parameter than these, none twice, and a version that looks like one."""
    asked = [key for key, _ in request.query_params.multi_items()]
    version = request.query_params.get("v")
    return (
        set(asked) <= allowed and len(asked) == len(set(asked)) and (version is None or bool(_VERSION.match(version)))
    )


def _refused() -> Response:
    return Response("not found", 404, headers=_REFUSED, media_type="text/plain")
