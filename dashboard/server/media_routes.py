"""HTTP routes for the images on the pages: thumbnails, masks, photos, uncertainty maps.

    GET /media-api/thumb/<image_id>.jpg
    GET /media-api/overlay/<run>/<image_id>.png?palette=okabe-ito       transparent colours, for the gallery
    GET /media-api/mask/<run>/<image_id>.png                            grey values = class indices, for the viewer
    GET /media-api/difference/<run>/<run>/<image_id>.png                where two runs differ (`masks.difference`)
    GET /media-api/truth/<truth>/<mask_id>.png                          grey, or with ?palette= transparent colours
    GET /media-api/judged/<run>/<truth>/<mask_id>/<image_id>.png        where a run is wrong (`evaluation.error_map`)
    GET /media-api/doubts/<run>/<truth>/<image_id>.png                  doubtful pixels of the truth; grey with ?grey=on
    GET /media-api/photo/<image_id>.jpg                                 long side at most 2048
    GET /media-api/uncertainty/<run>/<image_id>.png                     grey 0..255 = entropy 0..1, computed on demand
    GET /media-api/demo/...                                             all of these from the demo's store
    GET /media-api/photos.zip?run=<run>&where=<filters>&name=<name>     photos that pass the filters, or picked ones

Ids are validated and then looked up in the store; no path is ever accepted. Responses are JPEG or PNG bytes that
browsers may cache for ever, since `v` in the URL changes with the file. Anything else is a 404 without details, except
that an unavailable uncertainty map or zip is answered with a sentence.
"""

import os
import re
from collections.abc import Callable
from functools import lru_cache, partial, wraps
from pathlib import Path
from threading import BoundedSemaphore

from anyio import from_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.server import photo_files, photo_zip, rendering, responses
from dashboard.server.cache import disk_cache
from dashboard.server.media_urls import DEMO_PREFIX, PREFIX, StoredFile, combined_version, judged_version
from dashboard.server.photo_files import PhotoFile, ScannedFile
from dashboard.server.photo_zip import ZipPhoto, ZipResponse
from dashboard.server.responses import has_only_params, not_found_response, text_response
from dashboard.settings import ServerSettings, large_run
from dashboard.state.view import PALETTES
from dashboard.workers.uncertainty import UncertaintyError, UncertaintyMaps
from seglib.data import image
from seglib.errors import BadImage, SegError, StoreError
from seglib.evaluation import evaluation
from seglib.masks.difference import encode_difference_png
from seglib.query.fields import read_table
from seglib.query.filters import Filters, select
from seglib.store import ground_truth, pair_counts
from seglib.store.pictures.picture_folder import read_without_links
from seglib.store.records import Run
from seglib.store.store import Store

_MAX_PARALLEL_DECODES = 2
"""Maximum number of photos decoded at the same time; one may take 300 MB."""

_TRUTH_ID = re.compile(r"[0-9a-f]{8}\Z")
_RUN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\Z")
_PATH_CHECKS: dict[str, Callable[[str], object]] = {
    "image_id": image.is_image_id,
    "mask_id": image.is_image_id,
    "truth": _TRUTH_ID.match,
    "run": _RUN_NAME.match,
    "other_run": _RUN_NAME.match,
}
"""Parameter of a URL path -> check that its values must pass."""

_uncertainty_maps = UncertaintyMaps()
_decode_slots = BoundedSemaphore(_MAX_PARALLEL_DECODES)


def _media_route(*query: str) -> Callable[[Callable[[Request, Store], Response]], Callable[[Request], Response]]:
    """Make an endpoint of a function of a request and the store.

    A URL with a malformed id or with query parameters other than `v` and `query` is answered with 404, and so is a
    missing or damaged file, run or store. Starlette runs the endpoint in a worker thread, since it is not async.
    """

    def decorate(answer: Callable[[Request, Store], Response]) -> Callable[[Request], Response]:
        @wraps(answer)
        def endpoint(request: Request) -> Response:
            if not _has_valid_ids(request) or not has_only_params(request, {"v", *query}):
                return not_found_response()
            try:
                return answer(request, _open_store(request))
            except UncertaintyError as error:
                return text_response(str(error), error.status)
            except (SegError, BadImage, OSError, ValueError):  # a damaged mask raises too
                return not_found_response()

        return endpoint

    return decorate


def _has_valid_ids(request: Request) -> bool:
    return all(_PATH_CHECKS[name](value) for name, value in request.path_params.items())


def _open_store(request: Request) -> Store:
    """Open one's own store, or that of the demo if the URL is below its prefix."""
    settings = ServerSettings.read()
    path = (settings.demo if request.scope["path"].startswith(f"{DEMO_PREFIX}/") else settings).store
    return _open_store_version(path, _folder_version(path))


@lru_cache(maxsize=4)
def _open_store_version(path: Path, _version: tuple[object, ...]) -> Store:
    """Open the store, which checks its layout and refuses links; once per `_folder_version`."""
    return Store(path)


def _folder_version(path: Path) -> tuple[object, ...]:
    """Return a value that changes with the store's marker and with the entries of the store and of its folders."""
    with os.scandir(path) as entries:
        return tuple(sorted((entry.name, *_stamp(entry)) for entry in entries))


def _stamp(entry: "os.DirEntry[str]") -> tuple[int, int, int]:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:  # removed in the meantime, such as a lock
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size


# --- endpoints ---------------------------------------------------------------------------------------------------


@_media_route()
def thumbnail(request: Request, store: Store) -> Response:
    image_id = request.path_params["image_id"]
    pictures = store.thumbnails()
    key, version = (str(pictures.path(image_id)),), pictures.version(image_id)
    return _versioned_response(request, key, version, lambda: pictures.read(image_id), "image/jpeg")


@_media_route()
def photo(request: Request, store: Store) -> Response:
    image_id = request.path_params["image_id"]
    file = _original_file(photo_files.find(store, image_id))
    if file is None:
        return not_found_response()
    return _file_response(
        request, file, ("photo", image_id), "image/jpeg", lambda: _photo_for_screen(store, file, image_id)
    )


@_media_route("palette")
def overlay(request: Request, store: Store) -> Response:
    colours = request.query_params.get("palette", PALETTES[0])
    if colours not in PALETTES:
        return not_found_response()
    return _mask_response(
        request, store, ("overlay", colours), lambda data, run: rendering.colour_mask(data, colours, run.classes)
    )


@_media_route()
def mask(request: Request, store: Store) -> Response:
    return _mask_response(request, store, ("mask",), lambda data, _: rendering.grey_mask(data))


@_media_route()
def difference(request: Request, store: Store) -> Response:
    image_id = request.path_params["image_id"]
    a, b = (store.run(request.path_params[name]) for name in ("run", "other_run"))
    masks = store.masks(a.run), store.masks(b.run)

    def make() -> bytes:
        return rendering.difference(masks[0].read(image_id), masks[1].read(image_id), a.classes, b.classes)

    version = combined_version(one.version(image_id) for one in masks)
    key = "difference", *(str(one.path(image_id)) for one in masks)
    return _versioned_response(request, key, version, make)


@_media_route("palette")
def truth(request: Request, store: Store) -> Response:
    colours = request.query_params.get("palette", "")
    if colours not in ("", *PALETTES):
        return not_found_response()
    record = ground_truth.find_truth(store, request.path_params["truth"])
    file = _find_file(ground_truth.mask_path(store, record, request.path_params["mask_id"]))

    def make() -> bytes:
        data = file.path.read_bytes()
        return rendering.colour_mask(data, colours, record.classes) if colours else rendering.grey_mask(data)

    return _file_response(request, file, ("truth", colours), "image/png", make)


@_media_route()
def error_map(request: Request, store: Store) -> Response:
    image_id, mask_id = request.path_params["image_id"], request.path_params["mask_id"]
    run = store.run(request.path_params["run"])
    record = ground_truth.find_truth(store, request.path_params["truth"])
    files = store.mask_path(run.run, image_id), ground_truth.mask_path(store, record, mask_id)
    version = judged_version(store, run.run, image_id, record, mask_id)

    def make() -> bytes:
        expected = ground_truth.read_mask(store, record, mask_id)
        return encode_difference_png(evaluation.error_map(expected, store.mask(run.run, image_id), record, run))

    return _versioned_response(request, ("judged", *map(str, files)), version, make)


@_media_route("grey")
def doubts(request: Request, store: Store) -> Response:
    grey = request.query_params.get("grey", "")
    if grey not in ("", "on"):
        return not_found_response()
    image_id, run = request.path_params["image_id"], store.run(request.path_params["run"])
    record = ground_truth.find_truth(store, request.path_params["truth"])
    file = _find_file(pair_counts.doubt_path(pair_counts.evaluation_folder(store, run.run, record.id), image_id))
    make = rendering.grey_doubts if grey else rendering.colour_doubts
    return _file_response(request, file, ("doubts", grey), "image/png", lambda: make(read_without_links(file.path)))


@_media_route()
def uncertainty(request: Request, store: Store) -> Response:
    image_id = request.path_params["image_id"]
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


@_media_route("run", "where", "picked", "name")
def photo_zip_file(request: Request, store: Store) -> Response:
    """Send photos as a zip: `run` and `where` (filters) choose them, or `picked` (see `photo_zip.remember_ids`).

    The files themselves, or, if others than this machine can reach the server, what the pages show of them: at most
    2048 pixels, without metadata such as the place where they were taken.
    """
    if not photo_zip.slots.acquire(blocking=False):
        return text_response("Others are downloading photos: try again in a minute.", 503)
    answer: Response | None = None
    try:
        photos = _zip_photos(request, store)
        if photos is None:
            return text_response("These photos were picked too long ago: reload the page.", 410)
        if len(photos) > photo_zip.MAX_PHOTOS or sum(photo.file.size for photo in photos) > photo_zip.MAX_BYTES:
            return text_response("These are too many photos for one zip: choose fewer.", 413)
        name = request.query_params.get("name", "")
        if request.method == "HEAD":
            return Response(headers=photo_zip.download_headers(name), media_type="application/zip")
        if ServerSettings.read().local_only:
            pieces = photo_zip.stream_zip(photos, _read_verified, store.path)
        else:
            pieces = photo_zip.stream_zip(photos, partial(_photo_for_screen, store), store.path, suffix=".jpg")
        answer = ZipResponse(pieces, name)
        return answer
    finally:
        if answer is None:
            photo_zip.slots.release()


def _zip_photos(request: Request, store: Store) -> list[ZipPhoto] | None:
    """Return the files that the URL chooses; None if it speaks of picked photos that are forgotten."""
    columns = ["dataset", "path", "bytes", "mtime_ns", "image_id"]
    if "picked" in request.query_params:
        ids = photo_zip.recall_ids(request.query_params["picked"])
        if ids is None:
            return None
        rows = store.locate_images(ids.to_pylist())
    else:
        filters, run = Filters.decode(request.query_params.get("where", "")), request.query_params.get("run", "")
        if store.count_rows(store.run(run)) >= large_run():
            raise StoreError("The run is too large to be read for a zip of its photos.")
        rows = select(read_table(store, [run], filters, with_scan=True), filters)
    roots = {dataset.name: dataset.root for dataset in store.datasets()}
    return [
        ZipPhoto(dataset, ScannedFile(roots[dataset], path, int(size), int(mtime_ns), image_id))
        for dataset, path, size, mtime_ns, image_id in rows[columns].itertuples(index=False, name=None)
    ]


def not_found(_: Request) -> Response:
    """Answer all other paths below the prefix, for which Streamlit would otherwise serve its page."""
    return not_found_response()


_ENDPOINTS: dict[str, Callable[[Request], Response]] = {
    "thumb/{image_id}.jpg": thumbnail,
    "photo/{image_id}.jpg": photo,
    "overlay/{run}/{image_id}.png": overlay,
    "mask/{run}/{image_id}.png": mask,
    "difference/{run}/{other_run}/{image_id}.png": difference,
    "truth/{truth}/{mask_id}.png": truth,
    "judged/{run}/{truth}/{mask_id}/{image_id}.png": error_map,
    "doubts/{run}/{truth}/{image_id}.png": doubts,
    "uncertainty/{run}/{image_id}.png": uncertainty,
    "photos.zip": photo_zip_file,
}
"""Path below the prefix -> endpoint."""

routes = [
    *(
        Route(f"{prefix}/{path}", endpoint, methods=["GET"])
        for prefix in (PREFIX, DEMO_PREFIX)
        for path, endpoint in _ENDPOINTS.items()
    ),
    Route(f"{PREFIX}/{{rest:path}}", not_found),
    Route(PREFIX, not_found),
]


# --- images from files -------------------------------------------------------------------------------------------


def _find_file(path: Path) -> StoredFile:
    file = StoredFile.find(path)
    if file is None:
        raise FileNotFoundError(path)
    return file


def _mask_response(
    request: Request, store: Store, kind: tuple[str, ...], make: Callable[[bytes, Run], bytes]
) -> Response:
    image_id, run = request.path_params["image_id"], store.run(request.path_params["run"])
    masks = store.masks(run.run)
    key = (str(masks.path(image_id)), *kind)
    return _versioned_response(request, key, masks.version(image_id), lambda: make(masks.read(image_id), run))


def _versioned_response(
    request: Request, key: tuple[str, ...], version: str | None, make: Callable[[], bytes], media: str = "image/png"
) -> Response:
    """Return an image made from one or several pictures of the store; no `version`: one of them is missing."""
    return not_found_response() if version is None else responses.picture_response(request, key, version, media, make)


def _file_response(
    request: Request, file: StoredFile, key: tuple[str, ...], media_type: str, make: Callable[[], bytes]
) -> Response:
    return responses.picture_response(request, (str(file.path), *key), file.version, media_type, make)


def _original_file(original: PhotoFile) -> StoredFile | None:
    return None if original.path is None else StoredFile(original.path, original.version)


def _photo_for_screen(store: Store, file: StoredFile, image_id: str) -> bytes:
    def make() -> bytes:
        with _decode_slots:
            return rendering.screen_photo(_read_verified(file, image_id))

    return _get_or_make(store, f"photos/{image_id[:2]}/{image_id}.jpg", make)


def _read_verified(file: StoredFile, image_id: str) -> bytes:
    data = image.read_bytes(file.path)
    if image.compute_image_id(data) != image_id:
        raise StoreError("The file has changed since its scan, though neither its size nor its time have.")
    return data


def _get_or_make(store: Store, name: str, make: Callable[[], bytes]) -> bytes:
    """Return the bytes from the disk cache, or make and cache them. Names contain the content's digest, so entries
    never go stale.
    """
    disk = disk_cache(store.path)
    body = disk.get(name)
    if body is None:
        body = make()
        disk.put(name, body)
    return body


def _is_disconnected(request: Request) -> bool:
    """Return whether the browser has disconnected; called in the endpoint's worker thread."""
    return from_thread.run(request.is_disconnected)
