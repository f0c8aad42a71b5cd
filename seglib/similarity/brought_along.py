"""Add embeddings that another model has made to a store: read their file, and match their keys with its photos."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from seglib.data.image import is_image_id
from seglib.errors import UsageError
from seglib.similarity.files import list_files
from seglib.similarity.vector_file import VectorFile, read_vectors
from seglib.store.embeddings import brought
from seglib.store.embeddings.vectors import to_unit_length
from seglib.store.store import Store

KEYS = ("image_id", "path", "stem")
"""What names a photo in a file of vectors: its content's id, its path in its dataset, or its file's name without
ending.
"""

_SAME_VECTOR = 0.999
"""Cosine above which two vectors of one photo are taken for the same: a model's numbers vary a little by batch."""


@dataclass(frozen=True, kw_only=True)
class AddReport:
    name: str
    key: str
    """One of `KEYS`."""
    dimensions: int
    rows: int
    """Vectors in the file."""
    images: int
    """Images that have a vector now."""
    unmatched: tuple[str, ...]
    """Keys that fit no photo of the store."""
    without: int
    """Images of the store that have no vector in the file."""


def add_embeddings(
    store: Store, file: Path, name: str, *, key: str | None = None, keys_file: Path | None = None
) -> AddReport:
    """Add a file of vectors to a store, as the source of embeddings `name`.

    Args:
        store: Where the photos are.
        file: .npz, .npy or .parquet; see `vector_file`.
        name: What the embeddings are called, such as clip.
        key: One of `KEYS`; by default the first of them under which any row fits a photo.
        keys_file: The CSV that names the rows of a .npy file, by default that of the same name beside it.

    Raises:
        UsageError: The file cannot be read, no key fits a photo, one fits several, or two of one photo have different
            vectors; or the name is taken.
    """
    brought.check_name(name)
    if key not in (None, *KEYS):
        raise UsageError(f"The key is {', '.join(KEYS[:-1])} or {KEYS[-1]}, not {key!r}.")
    read = read_vectors(file, keys_file)
    photos = list_files(store)
    key, found = _match(file.name, read.keys, photos, key)
    by_image = _first_rows(file.name, read, found)
    added = brought.add_set(store, name, list(by_image), read.vectors[list(by_image.values())], file.name)
    return AddReport(
        name=name,
        key=key,
        dimensions=added.dimensions,
        rows=len(read.keys),
        images=added.images,
        unmatched=tuple(one for one, image_id in zip(read.keys, found, strict=True) if image_id is None),
        without=photos["image_id"].nunique() - added.images,
    )


def _first_rows(file: str, read: VectorFile, found: Sequence[str | None]) -> dict[str, int]:
    """image_id -> the first row about it: copies of one photo under two names have one vector.

    Raises `UsageError` if theirs differ, since then at least one of them is another photo's.
    """
    first: dict[str, int] = {}
    for row, image_id in enumerate(found):
        if image_id is None or (kept := first.setdefault(image_id, row)) == row:
            continue
        one, other = to_unit_length(read.vectors[[kept, row]]).astype(np.float32)
        if float(one @ other) < _SAME_VECTOR:
            raise UsageError(
                f"{file!r} has different vectors for {read.keys[kept][:80]!r} and {read.keys[row][:80]!r}, which are "
                "the same photo: leave out the one that is wrong."
            )
    return first


def _match(file: str, keys: Sequence[str], photos: pd.DataFrame, wanted: str | None) -> tuple[str, list[str | None]]:
    """(the kind of key, the image_id of each key or None). Raises `UsageError` if none fits, or one fits several."""
    for key in (wanted,) if wanted else KEYS:
        by_key = _images_by_key(photos, key)
        found = [by_key.get(_normalise(one, key), ()) for one in keys]
        if not any(found):
            continue
        several = [(one, ids) for one, ids in zip(keys, found, strict=True) if len(ids) > 1]
        if several:
            example, ids = several[0]
            raise UsageError(
                f"{len(several):,} keys of {file!r} fit several photos, {example[:80]!r} fits {len(ids)}: "
                f"name the photos by {'image_id, or by dataset and path' if key == 'path' else 'path or image_id'}."
            )
        return key, [ids[0] if ids else None for ids in found]
    example = f", {keys[0][:80]!r} for one"
    kinds = f"as {wanted}" if wanted else "as image_id, path or stem"
    raise UsageError(f"No key of {file!r} fits a photo of this store, read {kinds}{example}.")


def _images_by_key(photos: pd.DataFrame, key: str) -> Mapping[str, tuple[str, ...]]:
    """Key -> the different images that it names."""
    ids = photos["image_id"].astype(object)
    paths = photos["path"].astype(object)
    if key == "image_id":
        return {one: (one,) for one in ids}
    if key == "stem":
        pairs = set(zip((PurePosixPath(path).stem for path in paths), ids, strict=True))
    else:
        pairs = set(zip(paths, ids, strict=True))
        whole = photos["dataset"].astype(object) + "/" + paths
        known = Counter(paths)
        pairs |= {pair for pair in zip(whole, ids, strict=True) if pair[0] not in known}
    found: dict[str, tuple[str, ...]] = {}
    for name, image_id in sorted(pairs):
        found[name] = (*found.get(name, ()), image_id)
    return found


def _normalise(text: str, key: str) -> str:
    if key == "image_id":
        return text.lower() if is_image_id(text.lower()) else ""
    if key == "path":
        return text.replace("\\", "/").removeprefix("./")
    return text
