"""HTTP routes for the images on the pages: thumbnails, masks, photos, uncertainty maps.

    GET /media-api/thumb/<image_id>.jpg
    GET /media-api/overlay/<run>/<image_id>.png?palette=okabe-ito       transparent colours, for the gallery
    GET /media-api/mask/<run>/<image_id>.png                            grey values = class indices, for the viewer
    GET /media-api/difference/<run>/<run>/<image_id>.png                where two runs differ (`masks.difference`)
    GET /media-api/truth/<truth>/<mask_id>.png                          grey, or with ?palette= transparent colours
    GET /media-api/judged/<run>/<truth>/<mask_id>/<image_id>.png        where a run is wrong (`evaluation.judged`)
    GET /media-api/photo/<image_id>.jpg                                 long side at most 2048
    GET /media-api/uncertainty/<run>/<image_id>.png                     grey 0..255 = entropy 0..1, computed on demand

Ids are validated and then looked up in the store; no path is ever accepted. Responses are JPEG or PNG bytes that
browsers may cache for ever, since `v` in the URL changes with the file. Anything else is a 404 without details, except
that an unavailable uncertainty map is answered with a sentence for the viewer.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore

from anyio import from_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.server import cache as server_cache
from dashboard.server import photo_files, rendering, responses
from dashboard.server.cache import DiskCache
from dashboard.server.media_urls import PREFIX, _File, _version
from dashboard.server.photo_files import Original
from dashboard.server.responses import asks_only, refused, said
from dashboard.settings import Settings
from dashboard.state.view import PALETTES
from dashboard.workers.uncertainty import CannotCompute, Maps
from seglib.data import image
from seglib.errors import BadImage, SegError, StoreError
from seglib.evaluation import evaluation
from seglib.masks.difference import difference_png
from seglib.store import ground_truth
from seglib.store.records import Run
from seglib.store.store import Store, own_bytes

_PHOTOS_AT_ONCE = 2
"""Maximum number of photos decoded at the same time; one may take 300 MB."""

_IMAGE_ID = re.compile(r"[0-9a-f]{32}\Z")
_TRUTH = re.compile(r"[0-9a-f]{8}\Z")
_RUN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\Z")


_maps = Maps()
_decoding = BoundedSemaphore(_PHOTOS_AT_ONCE)


@lru_cache(maxsize=4)
def _disk(store: Path) -> DiskCache:
    return DiskCache(store / server_cache.FOLDER)


# --- routes ------------------------------------------------------------------------------------------------------


async def thumbnail(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    if not _IMAGE_ID.match(image_id) or not asks_only(request, {"v"}):
        return refused()
    return await run_in_threadpool(_thumbnail, request, image_id)


async def photo(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    if not _IMAGE_ID.match(image_id) or not asks_only(request, {"v"}):
        return refused()
    return await run_in_threadpool(_photo, request, image_id)


async def overlay(request: Request) -> Response:
    colours = request.query_params.get("palette", PALETTES[0])
    if not _of_a_run(request, {"palette", "v"}) or colours not in PALETTES:
        return refused()

    def painted(data: bytes, run: Run) -> bytes:
        return rendering.colour_mask(data, colours, run.classes)

    return await run_in_threadpool(_mask, request, ("overlay", colours), painted)


async def mask(request: Request) -> Response:
    if not _of_a_run(request, {"v"}):
        return refused()
    return await run_in_threadpool(_mask, request, ("mask",), lambda data, _: rendering.grey_mask(data))


async def difference(request: Request) -> Response:
    if not _of_a_run(request, {"v"}) or not _RUN.match(request.path_params["other"]):
        return refused()
    return await run_in_threadpool(_difference, request)


async def truth(request: Request) -> Response:
    colours = request.query_params.get("palette", "")
    asked = request.path_params
    known = _TRUTH.match(asked["truth"]) and _IMAGE_ID.match(asked["mask_id"])
    if not known or not asks_only(request, {"palette", "v"}) or colours not in ("", *PALETTES):
        return refused()
    return await run_in_threadpool(_truth, request, colours)


async def judged(request: Request) -> Response:
    asked = request.path_params
    if not _of_a_run(request, {"v"}) or not (_TRUTH.match(asked["truth"]) and _IMAGE_ID.match(asked["mask_id"])):
        return refused()
    return await run_in_threadpool(_judged, request)


async def heat(request: Request) -> Response:
    if not _of_a_run(request, {"v"}):
        return refused()
    return await run_in_threadpool(_heat, request)


async def nothing(_: Request) -> Response:
    """Answer all other paths below the prefix, for which Streamlit would otherwise serve its page."""
    return refused()


routes = [
    Route(f"{PREFIX}/thumb/{{image_id}}.jpg", thumbnail, methods=["GET"]),
    Route(f"{PREFIX}/photo/{{image_id}}.jpg", photo, methods=["GET"]),
    Route(f"{PREFIX}/overlay/{{run}}/{{image_id}}.png", overlay, methods=["GET"]),
    Route(f"{PREFIX}/mask/{{run}}/{{image_id}}.png", mask, methods=["GET"]),
    Route(f"{PREFIX}/difference/{{run}}/{{other}}/{{image_id}}.png", difference, methods=["GET"]),
    Route(f"{PREFIX}/truth/{{truth}}/{{mask_id}}.png", truth, methods=["GET"]),
    Route(f"{PREFIX}/judged/{{run}}/{{truth}}/{{mask_id}}/{{image_id}}.png", judged, methods=["GET"]),
    Route(f"{PREFIX}/uncertainty/{{run}}/{{image_id}}.png", heat, methods=["GET"]),
    Route(f"{PREFIX}/{{rest:path}}", nothing),
    Route(PREFIX, nothing),
]


# --- what they answer --------------------------------------------------------------------------------------------


def _thumbnail(request: Request, image_id: str) -> Response:
    try:
        file = _File.found(_store().thumbnail_path(image_id))
        if file is None:
            return refused()
        return _answer(request, file, ("thumb", image_id), "image/jpeg", lambda: own_bytes(file.path))
    except (SegError, OSError):  # missing or broken store, which the pages report
        return refused()


def _mask(request: Request, kind: tuple[str, ...], make: Callable[[bytes, Run], bytes]) -> Response:
    image_id = request.path_params["image_id"]
    try:
        store = _store()
        run = store.run(request.path_params["run"])  # unknown runs are caught below
        file = _File.found(store.mask_path(run.run, image_id))
        if file is None:
            return refused()
        key = (*kind, run.run, image_id)
        return _answer(request, file, key, "image/png", lambda: make(own_bytes(file.path), run))
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return refused()


def _difference(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    try:
        store = _store()
        a, b = (store.run(request.path_params[name]) for name in ("run", "other"))
        masks = store.mask_path(a.run, image_id), store.mask_path(b.run, image_id)
        version = _version([_File.found(path) for path in masks])
        if version is None:
            return refused()

        def made() -> bytes:
            return rendering.difference(own_bytes(masks[0]), own_bytes(masks[1]), a.classes, b.classes)

        return responses.picture(request, ("difference", *map(str, masks)), version, "image/png", made)
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return refused()


def _truth(request: Request, colours: str) -> Response:
    asked = request.path_params
    try:
        store = _store()
        about = ground_truth.find(store, asked["truth"])  # an unknown ground truth is caught below
        file = _File.found(ground_truth.mask_path(store, about, asked["mask_id"]))
        if file is None:
            return refused()

        def made() -> bytes:
            data = file.path.read_bytes()
            return rendering.colour_mask(data, colours, about.classes) if colours else rendering.grey_mask(data)

        return _answer(request, file, ("truth", colours), "image/png", made)
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return refused()


def _judged(request: Request) -> Response:
    asked = request.path_params
    try:
        store = _store()
        run, about = store.run(asked["run"]), ground_truth.find(store, asked["truth"])
        files = store.mask_path(run.run, asked["image_id"]), ground_truth.mask_path(store, about, asked["mask_id"])
        version = _version([_File.found(path) for path in files])
        if version is None:
            return refused()

        def made() -> bytes:
            right = ground_truth.mask(store, about, asked["mask_id"])
            return difference_png(evaluation.judged(right, store.mask(run.run, asked["image_id"]), about, run))

        return responses.picture(request, ("judged", *map(str, files)), version, "image/png", made)
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return refused()


def _photo(request: Request, image_id: str) -> Response:
    try:
        store = _store()
        file = _original_file(photo_files.find(store, image_id))
        if file is None:
            return refused()
        name = f"photos/{image_id[:2]}/{image_id}.jpg"
        key = ("photo", image_id)
        return _answer(request, file, key, "image/jpeg", lambda: _kept(store, name, lambda: _shown(file, image_id)))
    except (SegError, BadImage, OSError):
        return refused()


def _shown(file: _File, image_id: str) -> bytes:
    with _decoding:
        return rendering.screen_photo(_content(file, image_id))


def _content(file: _File, image_id: str) -> bytes:
    data = image.read_bytes(file.path)
    if image.image_id(data) != image_id:
        raise StoreError("The file has changed since its scan, though neither its size nor its time have.")
    return data


def _heat(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    try:
        store = _store()
        run = store.run(request.path_params["run"])
        found = photo_files.find(store, image_id)
        file = _original_file(found)
        if file is None:
            return said(f"{found.reason}, so there is nothing to compute the map from.", 409)
        name = f"uncertainty/{run.run}/{image_id[:2]}/{image_id}.png"

        def made() -> bytes:
            return _maps.png(store, run, _content(file, image_id), abandoned=lambda: _gone(request))

        return _answer(request, file, ("heat", run.run, image_id), "image/png", lambda: _kept(store, name, made))
    except CannotCompute as error:
        return said(str(error), error.status)
    except (SegError, BadImage, OSError):
        return refused()


def _store() -> Store:
    return Store(Settings.read().store)


def _original_file(found: Original) -> _File | None:
    return None if found.path is None else _File(found.path, found.version)


def _kept(store: Store, name: str, make: Callable[[], bytes]) -> bytes:
    """Return the bytes from the disk cache, or make and cache them. Names contain the content's digest, so entries
    never go stale.
    """
    disk = _disk(store.path)
    body = disk.get(name)
    if body is None:
        body = make()
        disk.put(name, body)
    return body


def _gone(request: Request) -> bool:
    """Return whether the browser has disconnected."""
    return from_thread.run(request.is_disconnected)


def _answer(
    request: Request, file: _File, key: tuple[str, ...], media_type: str, make: Callable[[], bytes]
) -> Response:
    return responses.picture(request, (str(file.path), *key), file.version, media_type, make)


def _of_a_run(request: Request, allowed: set[str]) -> bool:
    run, image_id = request.path_params["run"], request.path_params["image_id"]
    return bool(_RUN.match(run) and _IMAGE_ID.match(image_id)) and asks_only(request, allowed)
