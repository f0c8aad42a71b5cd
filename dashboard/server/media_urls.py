"""URLs of thumbnails, masks, overlays, differences and photos."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from dashboard.settings import ServerSettings
from dashboard.state.shown_store import is_demo
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import GroundTruth
from seglib.store.layout import StoreLayout
from seglib.store.store import Store

PREFIX = "/media-api"
DEMO_PREFIX = f"{PREFIX}/demo"
"""Prefix of the same URLs for the pictures of the demo's store."""


@dataclass(frozen=True)
class StoredFile:
    """An existing image file of the store and the version of its content."""

    path: Path
    version: str

    @classmethod
    def find(cls, path: Path) -> "StoredFile | None":
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(path, f"{status.st_mtime_ns:x}{status.st_size:x}"[-24:])


def thumbnail_url(store: Store, image_id: str) -> str | None:
    """Return the URL of a thumbnail; None if the store has none."""
    version = store.thumbnails().version(image_id)
    return version and f"{_prefix(store)}/thumb/{image_id}.jpg?{urlencode({'v': version})}"


def overlay_url(store: Store, run: str, image_id: str, colours: str) -> str | None:
    """Return the URL of a coloured mask; None if the store has no such mask."""
    return _mask_url(store, "overlay", run, image_id, palette=colours)


def mask_url(store: Store, run: str, image_id: str) -> str | None:
    """Return the URL of a mask of class indices, for the viewer; None if the store has no such mask."""
    return _mask_url(store, "mask", run, image_id)


def difference_url(store: Store, a: str, b: str, image_id: str) -> str | None:
    """Return the URL of the difference image of two runs; None if one of the masks is missing."""
    version = combined_version(store.masks(run).version(image_id) for run in (a, b))
    return version and f"{_prefix(store)}/difference/{a}/{b}/{image_id}.png?{urlencode({'v': version})}"


def truth_url(store: Store, truth: GroundTruth, mask_id: str, colours: str = "") -> str | None:
    """Return the URL of a ground truth mask: class indices, or colours if `colours` names a palette. None if it is
    missing.
    """
    file = StoredFile.find(ground_truth.mask_path(store, truth, mask_id))
    if file is None:
        return None
    query = ({"palette": colours} if colours else {}) | {"v": file.version}
    return f"{_prefix(store)}/truth/{truth.id}/{mask_id}.png?{urlencode(query)}"


def error_map_url(store: Store, run: str, image_id: str, truth: GroundTruth, mask_id: str) -> str | None:
    """Return the URL of the error image of a run; None if one of the two masks is missing."""
    version = judged_version(store, run, image_id, truth, mask_id)
    return version and f"{_prefix(store)}/judged/{run}/{truth.id}/{mask_id}/{image_id}.png?{urlencode({'v': version})}"


def doubts_url(store: Store, run: str, image_id: str, truth: GroundTruth, *, grey: bool = False) -> str | None:
    """Return the URL of the doubtful pixels of a ground truth by a run, coloured or `grey`; None if they are not known.

    Grey: 0, or 255 where the label is doubtful, as an uncertainty map.
    """
    file = StoredFile.find(pair_counts.doubt_path(pair_counts.evaluation_folder(store, run, truth.id), image_id))
    if file is None:
        return None
    query = ({"grey": "on"} if grey else {}) | {"v": file.version}
    return f"{_prefix(store)}/doubts/{run}/{truth.id}/{image_id}.png?{urlencode(query)}"


def photo_url(store: StoreLayout, image_id: str) -> str:
    """Return the URL of a photo, which may answer 404. The id is the digest of the content, so no version is needed."""
    return f"{_prefix(store)}/photo/{image_id}.jpg"


def zip_url(store: StoreLayout, name: str, **chosen: str) -> str:
    """Return the URL of a zip of photos that is saved as `name`; `chosen`: see `media_routes.photo_zip_file`."""
    return f"{_prefix(store)}/photos.zip?{urlencode({**chosen, 'name': name})}"


def uncertainty_url(store: StoreLayout, run: str, image_id: str) -> str:
    """Return the URL of an uncertainty map; if there is none, it answers with a sentence that says why."""
    return f"{_prefix(store)}/uncertainty/{run}/{image_id}.png"


def _prefix(store: StoreLayout) -> str:
    settings = ServerSettings.read()
    return settings.base_path + (DEMO_PREFIX if is_demo(store.path, settings) else PREFIX)


def _mask_url(store: Store, kind: str, run: str, image_id: str, **query: str) -> str | None:
    version = store.masks(run).version(image_id)
    return version and f"{_prefix(store)}/{kind}/{run}/{image_id}.png?{urlencode(query | {'v': version})}"


def judged_version(store: Store, run: str, image_id: str, truth: GroundTruth, mask_id: str) -> str | None:
    """Return the version of a mask and the ground truth's together; None if one of them is missing."""
    file = StoredFile.find(ground_truth.mask_path(store, truth, mask_id))
    return combined_version([store.masks(run).version(image_id), None if file is None else file.version])


def combined_version(versions: Iterable[str | None]) -> str | None:
    """Return one version for several; None if one of them is missing."""
    known = list(versions)
    return None if None in known else hashlib.sha256(" ".join(map(str, known)).encode()).hexdigest()[:24]
