"""Perceptual hashes of a store's images: those that were kept while decoding, else from their thumbnails."""

import io
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from seglib.data.photo_measures.hashes import difference_hash
from seglib.fileio.parallel import map_in_threads
from seglib.store.photo_measures import rows
from seglib.store.store import Store


def read_hashes(store: Store, image_ids: Iterable[str]) -> "pd.Series[int]":
    """uint64 difference hash of these images, index image_id; without those that have no thumbnail either."""
    ids = pd.Index(list(image_ids), dtype="str").unique()
    kept = rows.read_hashes(store)["dhash"].dropna()
    kept = kept[kept.index.isin(ids)].astype(np.uint64)
    rest = ids.difference(kept.index).tolist()
    made = zip(rest, map_in_threads(lambda one: _hash_thumbnail(store, one), rest), strict=True)
    found = {image_id: value for image_id, value in made if value is not None}
    return pd.concat([kept, pd.Series(list(found.values()), pd.Index(list(found), dtype="str"), np.uint64)])


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
        with Image.open(io.BytesIO(store.thumbnails().read(image_id)), formats=("JPEG",)) as picture:
            grey = picture.convert("L")
    except (OSError, ValueError, SyntaxError):
        return None
    return difference_hash(grey)
