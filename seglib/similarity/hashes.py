"""Perceptual hashes of a store's images: those that were kept while decoding, else from their thumbnails."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from seglib.fileio.parallel import map_in_threads
from seglib.store.store import Store


def read_hashes(store: Store, image_ids: Iterable[str]) -> "pd.Series[int]":
    """uint64 difference hash of these images, index image_id; without those that have no thumbnail either."""
    ids = list(dict.fromkeys(image_ids))
    found = {
        one: value
        for one, value in zip(ids, map_in_threads(lambda one: _hash_thumbnail(store, one), ids), strict=True)
        if value is not None
    }
    return pd.Series(list(found.values()), pd.Index(list(found), dtype="str", name="image_id"), np.uint64)


def mirror_hashes(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """uint64 (N,): the difference hash that each image would have if it were mirrored left to right.

    A bit says whether a cell is darker than the next one in its row: mirrored, the eight bits of each row stand in
    reverse, and each is inverted.
    """
    bits = np.unpackbits(np.ascontiguousarray(hashes, ">u8").view(np.uint8)).reshape(-1, 8, 8)
    mirrored = np.packbits(1 - bits[:, :, ::-1], axis=2).reshape(-1, 8)
    return np.ascontiguousarray(mirrored).view(">u8").ravel().astype(np.uint64)


def _hash_thumbnail(store: Store, image_id: str) -> int | None:
    try:
        with Image.open(store.thumbnail_path(image_id), formats=("JPEG",)) as picture:
            grey = picture.convert("L")
    except (OSError, ValueError, SyntaxError):
        return None
    return _difference_hash(grey)


def _difference_hash(grey: Image.Image) -> int:
    pixels = np.asarray(grey.resize((9, 8), Image.Resampling.LANCZOS))
    return int.from_bytes(np.packbits(pixels[:, 1:] > pixels[:, :-1]).tobytes(), "big")
