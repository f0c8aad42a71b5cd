"""Create a store's int8 models: each is calibrated once on the user's own images, then reused by every run.

Input: a store, a model, a resize, the files of a scan. Output: the folder `<store>/int8/<model>-<resize>-<8 hex>` with
the quantized model and `calibration.json`, which records what it was made from. Calibration uses the 128 images with
the smallest image_ids: effectively a random sample, independent of file names, order and number of processes.
"""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.data.image import DECODER, Extras, compute_image_id, read_image
from seglib.data.photo_root import PhotoRoot, read_photo
from seglib.data.resize import Resize
from seglib.errors import BadImage, DatasetError, StoreError, UsageError
from seglib.inference import openvino_backend
from seglib.maintenance.quantized_models import CALIBRATION_RECORD, recorded_sha256
from seglib.models import loading
from seglib.models.registry import ModelSpec
from seglib.pipeline.planning import FileIndex
from seglib.progress import OnNote
from seglib.store.records import Dataset, utc_now
from seglib.store.store import Store

CALIBRATION_IMAGES = 128

METHOD = "nncf-mixed-1"
"""Version of the quantization method, part of the cache key: changing it creates new models."""


def int8_model_folder(store: Store, spec: ModelSpec, resize: Resize) -> Path:
    """Folder of the int8 model for this model and resize, whether or not it exists yet.

    A model with a fixed input side needs only one, whatever the mask size.
    """
    sees = spec.input_resize(resize)
    key_parts = (
        spec.name,
        loading.weights_sha256(spec),
        sees.text,
        spec.mean,
        spec.std,
        spec.fp32_blocks,
        DECODER,
        METHOD,
        *(() if spec.adapter is None else (spec.adapter.code, spec.classes)),
        *(() if spec.channels == "rgb" else (spec.channels,)),
    )
    key = hashlib.sha256(json.dumps(key_parts).encode()).hexdigest()[:8]
    return store.int8_folder(f"{spec.name}-{sees.slug}-{key}")


def calibrate(
    store: Store,
    spec: ModelSpec,
    resize: Resize,
    *,
    data_set: Dataset,
    records: pd.DataFrame,
    index: FileIndex,
    on_note: OnNote | None = None,
) -> Path:
    """The folder of the int8 model, which is created now if the store has none yet.

    `records` are the scan's files; of those only what is new or changed since `index` is hashed. Raises `DatasetError`
    if no image can be read, and `StoreError` if the model is damaged.
    """
    folder, sees = int8_model_folder(store, spec, resize), spec.input_resize(resize)
    if folder.is_dir():
        _check(folder)
        return folder
    openvino_backend.ensure_installed()
    if on_note is not None:
        on_note(
            f"Calibrating {spec.name} for int8 at {sees.text} on up to {CALIBRATION_IMAGES} of these photos: "
            "once in this store, from half a minute to several minutes."
        )
    stored_files = index.read()
    unchanged = ["path", "bytes", "mtime_ns"]  # of an object, the time is that of its last change
    named = records[unchanged].merge(
        stored_files.loc[stored_files["reason"].isna(), [*unchanged, "image_id"]], how="left"
    )
    ids = {
        path: image_id if isinstance(image_id, str) else None for path, image_id in named[["path", "image_id"]].values
    }
    images = list(islice(_read_calibration_images(data_set.root, ids, sees), CALIBRATION_IMAGES))
    if not images:
        raise DatasetError("int8 is calibrated on your photos, and none of these can be read: take `precision` auto.")
    with store.atomic.new_folder(folder) as temporary:
        openvino_backend.quantise(spec, [image for _, image in images], temporary)
        record = {
            "model": spec.name,
            "resize": sees.text,
            "weights_sha256": loading.weights_sha256(spec),
            "method": METHOD,
            "created": utc_now(),
            "sha256": openvino_backend.model_sha256(temporary),
            "image_ids": [image_id for image_id, _ in images],
        }
        (temporary / CALIBRATION_RECORD).write_text(json.dumps(record, indent=1))
    _check(folder)
    return folder


def require(store: Store, spec: ModelSpec, resize: Resize) -> None:
    """Raise `UsageError` unless the store has the int8 model: workers of a cluster do not calibrate."""
    if not int8_model_folder(store, spec, resize).is_dir():
        raise UsageError(
            f"int8 is calibrated on one machine, and this store has no int8 model of {spec.name} yet: run once without "
            "`on`, with `limit` 1."
        )


def _read_calibration_images(
    root: PhotoRoot, ids: dict[str, str | None], resize: Resize
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """(image_id, image resized for the model) of every readable image, by ascending id and without duplicates."""
    with ThreadPoolExecutor() as pool:  # reading and hashing release the GIL
        identified = pool.map(lambda item: (item[1] or _image_id(root, item[0]), item[0]), ids.items())
        by_id = {image_id: path for image_id, path in identified if image_id}
    for image_id in sorted(by_id):
        try:
            yield image_id, read_image(read_photo(root, by_id[image_id]), resize, Extras()).image
        except BadImage:
            continue


def _image_id(root: PhotoRoot, path: str) -> str | None:
    try:
        return compute_image_id(read_photo(root, path))
    except BadImage:
        return None


def _check(folder: Path) -> None:
    """Raise `StoreError` if the model's files no longer match the recorded hash."""
    try:
        sound = openvino_backend.model_sha256(folder) == recorded_sha256(folder)
    except OSError:
        sound = False
    if not sound:
        raise StoreError(
            f"The int8 model {folder.name} is damaged: delete int8/{folder.name} in the store, and run again to "
            "recalibrate."
        )
