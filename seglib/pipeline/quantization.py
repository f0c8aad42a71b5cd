"""The int8 model of a store: calibrated once on the user's own photos, then kept and reused by every run.

In: a store, a model, a resize, the files of a scan. Out: the folder `<store>/int8/<model>-<resize>-<8 hex>` with the
quantised model and `calibration.json`, which says from what it was made. The photos are the 128 with the smallest
image_ids, which is a random sample that does not depend on names, order or the number of processes.
Knows nothing of how a net is quantised, nor of runs.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.data import image as image_module
from seglib.data.image import DECODER
from seglib.data.resize import Resize
from seglib.errors import BadImage, DatasetError, StoreError
from seglib.inference import openvino_backend
from seglib.models import loading
from seglib.models.registry import ModelSpec
from seglib.store.quantized_models import recorded_sha256
from seglib.store.records import Dataset, now
from seglib.store.store import Store

CALIBRATION_PHOTOS = 128

METHOD = "nncf-mixed-1"
"""How the model is made; a change of it makes new models."""

OnNote = Callable[[str], None]


def folder_of(store: Store, spec: ModelSpec, resize: Resize) -> Path:
    """Where the model that fits these lies, or will lie; one serves all grids of a net with a side of its own."""
    sees = spec.sees(resize)
    made_of = (
        spec.name,
        loading.weights_sha256(spec),
        sees.text,
        spec.mean,
        spec.std,
        spec.fp32_blocks,
        DECODER,
        METHOD,
    )
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:8]
    return store.int8_folder(f"{spec.name}-{sees.slug}-{key}")


def calibrated(
    store: Store,
    spec: ModelSpec,
    resize: Resize,
    *,
    data_set: Dataset,
    records: pd.DataFrame,
    known: pd.DataFrame,
    on_note: OnNote | None = None,
) -> Path:
    """The folder of the int8 model, made now if the store has none yet.

    In: the scan's `records`, and what the store knows of its files (`Store.files`): only others are hashed.
    """
    folder, sees = folder_of(store, spec, resize), spec.sees(resize)
    if folder.is_dir():
        _check(folder)
        return folder
    openvino_backend.ensure_installed()
    if on_note is not None:
        on_note(
            f"Calibrating {spec.name} for int8 at {sees.text} on up to {CALIBRATION_PHOTOS} of these photos: "
            "once in this store, from half a minute to several minutes."
        )
    unchanged = ["path", "bytes", "mtime_ns"]
    named = records[unchanged].merge(known.loc[known["reason"].isna(), [*unchanged, "image_id"]], how="left")
    ids = {
        path: image_id if isinstance(image_id, str) else None for path, image_id in named[["path", "image_id"]].values
    }
    photos = list(islice(_photos(data_set.root, ids, sees), CALIBRATION_PHOTOS))
    if not photos:
        raise DatasetError("int8 is calibrated on your photos, and none of these can be read: take --precision auto.")
    with store.scratch.new_folder(folder) as made:
        openvino_backend.quantise(spec, [image for _, image in photos], made)
        about = {
            "model": spec.name,
            "resize": sees.text,
            "weights_sha256": loading.weights_sha256(spec),
            "method": METHOD,
            "created": now(),
            "sha256": openvino_backend.sha256(made),
            "image_ids": [image_id for image_id, _ in photos],
        }
        (made / "calibration.json").write_text(json.dumps(about, indent=1))
    _check(folder)
    return folder


def _photos(root: Path, ids: dict[str, str | None], resize: Resize) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """(image_id, picture as the net sees it) of the photos that can be read, by ascending id, equal ones once."""
    with ThreadPoolExecutor() as pool:  # reading and hashing release the interpreter's lock
        found = pool.map(lambda item: (item[1] or _image_id(root / item[0]), item[0]), ids.items())
        by_id = {image_id: path for image_id, path in found if image_id}
    for image_id in sorted(by_id):
        try:
            yield image_id, image_module.read_photo(root / by_id[image_id], resize, thumbnail=False).image
        except BadImage:
            continue


def _image_id(path: Path) -> str | None:
    try:
        return image_module.image_id(image_module.read_bytes(path))
    except BadImage:
        return None


def _check(folder: Path) -> None:
    """The files are those that were made: another model must not go by this one's name."""
    try:
        sound = openvino_backend.sha256(folder) == recorded_sha256(folder)
    except OSError:
        sound = False
    if not sound:
        raise StoreError(
            f"The int8 model {folder.name} is damaged: delete int8/{folder.name} in the store, and run again to "
            "calibrate anew."
        )
