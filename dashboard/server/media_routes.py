"""HTTP routes for the images on the pages: thumbnails, masks, photos, uncertainty maps.

    GET /media-api/thumb/<image_id>.jpg
    GET /media-api/overlay/<run>/<image_id>.png?palette=okabe-ito       transparent colours, for the gallery
    GET /media-api/mask/<run>/<image_id>.png                            grey values = class indices, for the viewer
    GET /media-api/difference/<run>/<run>/<image_id>.png                where two runs differ (`masks.difference`)
    GET /media-api/truth/<truth>/<mask_id>.png                          grey, or with ?palette= transparent colours
    GET /media-api/judged/<run>/<truth>/<mask_id>/<image_id>.png        where a run is wrong (`evaluation.error_map`)
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
from threading import BoundedSemaphore, Thread

from anyio import from_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.server import cache as server_cache
from dashboard.server import photo_files, rendering, responses
from dashboard.server.cache import DiskCache
from dashboard.server.media_urls import PREFIX, _combined_version, _File
from dashboard.server.photo_files import PhotoFile
from dashboard.server.responses import has_only_params, not_found_response, text_response
from dashboard.settings import ServerSettings
from dashboard.state.view import PALETTES
from dashboard.workers.uncertainty import UncertaintyError, UncertaintyMaps
from seglib.data import image
from seglib.errors import BadImage, SegError, StoreError
from seglib.evaluation import evaluation
from seglib.masks.difference import encode_difference_png
from seglib.store import ground_truth
from seglib.store.layout import read_without_links
from seglib.store.records import Run
from seglib.store.store import Store

_MAX_PARALLEL_DECODES = 2
"""Maximum number of photos decoded at the same time; one may take 300 MB."""
_TRUTH_ID = re.compile(r"[0-9a-f]{8}\Z")
_RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\Z")


_uncertainty_maps = UncertaintyMaps()
_decode_slots = BoundedSemaphore(_MAX_PARALLEL_DECODES)


@lru_cache(maxsize=4)
def _disk_cache(store: Path) -> DiskCache:
    Thread(target=server_cache.remove_stale, args=(store,), daemon=True).start()
    return DiskCache(store / server_cache.CACHE_FOLDER)


# --- routes ------------------------------------------------------------------------------------------------------


async def thumbnail(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    if not image.is_image_id(image_id) or not has_only_params(request, {"v"}):
        return not_found_response()
    return await run_in_threadpool(_thumbnail, request, image_id)


async def photo(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    if not image.is_image_id(image_id) or not has_only_params(request, {"v"}):
        return not_found_response()
    return await run_in_threadpool(_photo, request, image_id)


async def overlay(request: Request) -> Response:
    colours = request.query_params.get("palette", PALETTES[0])
    if not _is_run_request(request, {"palette", "v"}) or colours not in PALETTES:
        return not_found_response()

    def paint(data: bytes, run: Run) -> bytes:
        return rendering.colour_mask(data, colours, run.classes)

    return await run_in_threadpool(_mask, request, ("overlay", colours), paint)


async def mask(request: Request) -> Response:
    if not _is_run_request(request, {"v"}):
        return not_found_response()
    return await run_in_threadpool(_mask, request, ("mask",), lambda data, _: rendering.grey_mask(data))


async def difference(request: Request) -> Response:
    if not _is_run_request(request, {"v"}) or not _RUN_NAME.match(request.path_params["other"]):
        return not_found_response()
    return await run_in_threadpool(_difference, request)


async def truth(request: Request) -> Response:
    colours = request.query_params.get("palette", "")
    params = request.path_params
    known = _TRUTH_ID.match(params["truth"]) and image.is_image_id(params["mask_id"])
    if not known or not has_only_params(request, {"palette", "v"}) or colours not in ("", *PALETTES):
        return not_found_response()
    return await run_in_threadpool(_truth, request, colours)


async def error_map(request: Request) -> Response:
    params = request.path_params
    if not _is_run_request(request, {"v"}) or not (
        _TRUTH_ID.match(params["truth"]) and image.is_image_id(params["mask_id"])
    ):
        return not_found_response()
    return await run_in_threadpool(_error_map, request)


async def uncertainty(request: Request) -> Response:
    if not _is_run_request(request, {"v"}):
        return not_found_response()
    return await run_in_threadpool(_uncertainty, request)


async def not_found(_: Request) -> Response:
    """Answer all other paths below the prefix, for which Streamlit would otherwise serve its page."""
    return not_found_response()


routes = [
    Route(f"{PREFIX}/thumb/{{image_id}}.jpg", thumbnail, methods=["GET"]),
    Route(f"{PREFIX}/photo/{{image_id}}.jpg", photo, methods=["GET"]),
    Route(f"{PREFIX}/overlay/{{run}}/{{image_id}}.png", overlay, methods=["GET"]),
    Route(f"{PREFIX}/mask/{{run}}/{{image_id}}.png", mask, methods=["GET"]),
    Route(f"{PREFIX}/difference/{{run}}/{{other}}/{{image_id}}.png", difference, methods=["GET"]),
    Route(f"{PREFIX}/truth/{{truth}}/{{mask_id}}.png", truth, methods=["GET"]),
    Route(f"{PREFIX}/judged/{{run}}/{{truth}}/{{mask_id}}/{{image_id}}.png", error_map, methods=["GET"]),
    Route(f"{PREFIX}/uncertainty/{{run}}/{{image_id}}.png", uncertainty, methods=["GET"]),
    Route(f"{PREFIX}/{{rest:path}}", not_found),
    Route(PREFIX, not_found),
]


# --- what they answer --------------------------------------------------------------------------------------------


def _thumbnail(request: Request, image_id: str) -> Response:
    try:
        file = _File.find(_store().thumbnail_path(image_id))
        if file is None:
            return not_found_response()
        return _file_response(request, file, ("thumb", image_id), "image/jpeg", lambda: read_without_links(file.path))
    except (SegError, OSError):  # missing or broken store, which the pages report
        return not_found_response()


def _mask(request: Request, kind: tuple[str, ...], make: Callable[[bytes, Run], bytes]) -> Response:
    image_id = request.path_params["image_id"]
    try:
        store = _store()
        run = store.run(request.path_params["run"])  # unknown runs are caught below
        file = _File.find(store.mask_path(run.run, image_id))
        if file is None:
            return not_found_response()
        key = (*kind, run.run, image_id)
        return _file_response(request, file, key, "image/png", lambda: make(read_without_links(file.path), run))
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return not_found_response()


def _difference(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    try:
        store = _store()
        a, b = (store.run(request.path_params[name]) for name in ("run", "other"))
        masks = store.mask_path(a.run, image_id), store.mask_path(b.run, image_id)
        version = _combined_version([_File.find(path) for path in masks])
        if version is None:
            return not_found_response()

        def make() -> bytes:
            return rendering.difference(
                read_without_links(masks[0]), read_without_links(masks[1]), a.classes, b.classes
            )

        return responses.picture_response(request, ("difference", *map(str, masks)), version, "image/png", make)
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return not_found_response()


def _truth(request: Request, colours: str) -> Response:
    params = request.path_params
    try:
        store = _store()
        about = ground_truth.find_truth(store, params["truth"])  # an unknown ground truth is caught below
        file = _File.find(ground_truth.mask_path(store, about, params["mask_id"]))
        if file is None:
            return not_found_response()

        def make() -> bytes:
            data = file.path.read_bytes()
            return rendering.colour_mask(data, colours, about.classes) if colours else rendering.grey_mask(data)

        return _file_response(request, file, ("truth", colours), "image/png", make)
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return not_found_response()


def _error_map(request: Request) -> Response:
    params = request.path_params
    try:
        store = _store()
        run, about = store.run(params["run"]), ground_truth.find_truth(store, params["truth"])
        files = store.mask_path(run.run, params["image_id"]), ground_truth.mask_path(store, about, params["mask_id"])
        version = _combined_version([_File.find(path) for path in files])
        if version is None:
            return not_found_response()

        def make() -> bytes:
            right = ground_truth.read_mask(store, about, params["mask_id"])
            return encode_difference_png(
                evaluation.error_map(right, store.mask(run.run, params["image_id"]), about, run)
            )

        return responses.picture_response(request, ("judged", *map(str, files)), version, "image/png", make)
    except (SegError, OSError, ValueError):  # a damaged mask raises too
        return not_found_response()


def _photo(request: Request, image_id: str) -> Response:
    try:
        store = _store()
        file = _original_file(photo_files.find(store, image_id))
        if file is None:
            return not_found_response()
        name = f"photos/{image_id[:2]}/{image_id}.jpg"
        key = ("photo", image_id)
        return _file_response(
            request, file, key, "image/jpeg", lambda: _get_or_make(store, name, lambda: _screen_photo(file, image_id))
        )
    except (SegError, BadImage, OSError):
        return not_found_response()


def _screen_photo(file: _File, image_id: str) -> bytes:
    with _decode_slots:
        return rendering.screen_photo(_read_verified(file, image_id))


def _read_verified(file: _File, image_id: str) -> bytes:
    data = image.read_bytes(file.path)
    if image.compute_image_id(data) != image_id:
        raise StoreError("The file has changed since its scan, though neither its size nor its time have.")
    return data


def _uncertainty(request: Request) -> Response:
    image_id = request.path_params["image_id"]
    try:
        store = _store()
        run = store.run(request.path_params["run"])
        original = photo_files.find(store, image_id)
        file = _original_file(original)
        if file is None:
            return text_response(f"{original.reason}, so there is nothing to compute the map from.", 409)
        name = f"uncertainty/{run.run}/{image_id[:2]}/{image_id}.png"

        def make() -> bytes:
            return _uncertainty_maps.png(
                store, run, _read_verified(file, image_id), abandoned=lambda: _is_disconnected(request)
            )

        return _file_response(
            request, file, ("heat", run.run, image_id), "image/png", lambda: _get_or_make(store, name, make)
        )
    except UncertaintyError as error:
        return text_response(str(error), error.status)
    except (SegError, BadImage, OSError):
        return not_found_response()


def _store() -> Store:
    return Store(ServerSettings.read().store)


def _original_file(original: PhotoFile) -> _File | None:
    return None if original.path is None else _File(original.path, original.version)


def _get_or_make(store: Store, name: str, make: Callable[[], bytes]) -> bytes:
    """Return the bytes from the disk cache, or make and cache them. Names contain the content's digest, so entries
    never go stale.
    """
    disk = _disk_cache(store.path)
    body = disk.get(name)
    if body is None:
        body = make()
        disk.put(name, body)
    return body


def _is_disconnected(request: Request) -> bool:
    """Return whether the browser has disconnected."""
    return from_thread.run(request.is_disconnected)


def _file_response(
    request: Request, file: _File, key: tuple[str, ...], media_type: str, make: Callable[[], bytes]
) -> Response:
    return responses.picture_response(request, (str(file.path), *key), file.version, media_type, make)


def _is_run_request(request: Request, allowed: set[str]) -> bool:
    run, image_id = request.path_params["run"], request.path_params["image_id"]
    return bool(_RUN_NAME.match(run) and image.is_image_id(image_id)) and has_only_params(request, allowed)
