"""Sets of embeddings that were brought along, such as those of CLIP or DINO: `<store>/embeddings/<name>/`."""

import re
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seglib.errors import StoreError, UnknownName, UsageError
from seglib.fileio import json_record, parquet_parts
from seglib.fileio.lock import lock
from seglib.store.embeddings import vectors
from seglib.store.records import utc_now
from seglib.store.store import Store

REMEDY = "remove these embeddings, and add their file again"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


@dataclass(frozen=True, kw_only=True)
class BroughtSet:
    """Contents of `embeddings/<name>/embeddings.json`."""

    name: str
    dimensions: int
    images: int
    file: str
    """Name of the file that they came from, without its folder."""
    added: str
    """When, in ISO 8601."""


def check_name(name: str) -> str:
    """The name, if a set may have it. Raises `UsageError`."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"Embeddings are named by 1 to 60 letters, digits, '.', '_' or '-', such as clip; got {name[:80]!r}."
        )
    return name


def list_sets(store: Store) -> list[BroughtSet]:
    """All sets with a readable record, sorted by name."""
    found = []
    for file in store.embedding_records():
        try:
            found.append(_read(file.parent.name, store))
        except StoreError:
            continue
    return found


def find_damaged(store: Store) -> dict[str, str]:
    """Map name -> error message for each set whose record cannot be read."""
    damaged = {}
    for file in store.embedding_records():
        try:
            _read(file.parent.name, store)
        except StoreError as error:
            damaged[file.parent.name] = str(error)
    return damaged


def add_set(store: Store, name: str, image_ids: list[str], rows: NDArray[np.floating], file: str) -> BroughtSet:
    """Store a set, float (N, D) without NaN or rows of zeros, one row per image_id.

    Raises `UsageError` if there is a set of this name already, or a run.
    """
    check_name(name)
    added = BroughtSet(name=name, dimensions=rows.shape[1], images=len(image_ids), file=file, added=utc_now())
    with lock(store.path):
        if store.embedding_record(name).exists() or store.run_record(name).exists():
            raise UsageError(f"This store has embeddings or a run named {name!r}: choose another name, or remove it.")
        if store.brought_folder(name).exists():  # left by an interrupted command
            store.atomic.discard(store.brought_folder(name))
        for start in range(0, len(image_ids), parquet_parts.MERGED_ROWS):
            part = slice(start, start + parquet_parts.MERGED_ROWS)
            table = vectors.make_table(image_ids[part], vectors.to_unit_length(rows[part]))
            parquet_parts.append(store.atomic, store.brought_folder(name), table)
        store.atomic.write(store.embedding_record(name), json_record.encode(asdict(added)), durable=True)
    return added


def remove_set(store: Store, name: str) -> BroughtSet:
    """Remove a set. Raises `UnknownName`."""
    known = {one.name: one for one in list_sets(store)}
    if name not in known:
        raise UnknownName("set of embeddings", name, known)
    with lock(store.path):
        store.atomic.discard(store.brought_folder(name))
        store.atomic.close()
    return known[name]


def read_vectors(store: Store, name: str) -> tuple[pa.StringArray, NDArray[np.float16]]:
    """(image_ids, float16 (N, D) of unit length)."""
    return vectors.read_parts(store.brought_folder(name), "global", REMEDY)


def _read(name: str, store: Store) -> BroughtSet:
    file = store.embedding_record(name)
    record = json_record.read(file, REMEDY)
    try:
        found = BroughtSet(**record)
    except TypeError:
        raise json_record.damaged_error(file, REMEDY) from None
    whole = type(found.dimensions) is int and type(found.images) is int
    if found.name != name or not whole or not isinstance(found.file, str) or not isinstance(found.added, str):
        raise json_record.damaged_error(file, REMEDY)
    return found
