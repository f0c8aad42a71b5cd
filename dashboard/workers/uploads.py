"""Photos uploaded for prediction: limits on what is accepted, data URLs, and pixel agreement between models.

Names and bytes come from the browser. Images are returned as data URLs, so the server does not have to store them.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dashboard.workers.predictor import ImagePrediction
from seglib.classes import Mask
from seglib.data.image import compute_image_id
from seglib.masks.png import decode_index_png, resize_to_finest

MAX_PHOTOS = 20
MAX_PHOTO_BYTES = 20_000_000
"""Maximum size of one photo's file in bytes; below `server.maxUploadSize`."""


@dataclass(frozen=True)
class Upload:
    name: str
    data: bytes
    id: str
    """`image_id`, as in the store."""


def accept_files(files: Iterable[tuple[str, bytes]]) -> tuple[list[Upload], list[str]]:
    """Return the photos to analyse, each content once, and a sentence for each file that was left out."""
    by_id: dict[str, Upload] = {}
    notes = []
    for name, data in files:
        if len(data) > MAX_PHOTO_BYTES:
            notes.append(f"{name} has {len(data) / 1e6:.0f} MB; at most {MAX_PHOTO_BYTES / 1e6:.0f} MB are accepted.")
        elif (photo := Upload(name, data, compute_image_id(data))).id in by_id:
            notes.append(f"{name} has the same content as {by_id[photo.id].name}.")
        elif len(by_id) == MAX_PHOTOS:
            notes.append(f"{name} was left out: at most {MAX_PHOTOS} photos are accepted.")
        else:
            by_id[photo.id] = photo
    return list(by_id.values()), notes


def data_uri(data: bytes, kind: str) -> str:
    """Return the image as a data URL: `data:image/png;base64,...`."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def pixel_agreement(one: Mask, other: Mask) -> float:
    """Share of pixels with equal class in both masks, on the finer of the two grids."""
    one, other = resize_to_finest([one, other])
    return float(np.mean(one == other))


def pairwise_agreement(predictions: Sequence[tuple[str, ImagePrediction]]) -> list[tuple[str, str, float]]:
    """Return (title, title, pixel agreement) for each pair of models with the same classes."""
    masks = [(title, one.classes, decode_index_png(one.mask)) for title, one in predictions]
    return [
        (title, other_title, pixel_agreement(mask, other))
        for (title, classes, mask), (other_title, other_classes, other) in combinations(masks, 2)
        if classes == other_classes
    ]
