"""Encode and decode the rows of embeddings: an image_id and one or two vectors of unit length in float16.

A vector is stored as its little-endian float16 numbers, one after another: `np.frombuffer(value, "<f2")` reads it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.errors import DamagedFileError
from seglib.fileio import parquet_parts

SCHEMA = pa.schema([("image_id", pa.string()), ("global", pa.binary()), ("class", pa.binary())])
"""`global`: of the whole image. `class`: of its dominant class, null if that is the background or there is none."""

KEY = ("image_id",)

REMEDY = "run again with `verify`, which computes its rows again"
"""How the user can repair a damaged part of a run's embeddings."""

VECTOR_DTYPE = np.dtype("<f2")

_SIGN_EXPONENT_FRACTION = np.int32(-0x70000001)  # without the three bits that repeat the sign
_EXPONENT_SCALE = np.float32(2.0**112)
_LARGEST = np.float32(np.finfo(np.float16).max)


def to_unit_length(vectors: NDArray[np.floating]) -> NDArray[np.float16]:
    """(N, D) of any finite numbers -> float16 (N, D) of length 1; rows of zeros stay zeros."""
    wide = vectors.astype(np.promote_types(vectors.dtype, np.float32))
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0)
    wide /= np.where(largest > 0, largest, 1)  # so that no square overflows, nor a small float64 becomes 0 in float32
    wide = wide.astype(np.float32, copy=False)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1)).astype(VECTOR_DTYPE)


def widen(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """The same numbers in float32, as `rows.astype(np.float32)`, in a fifth of the time.

    A float16 whose exponent and fraction stand in the bits of a float32 is 2^-112 of its value.
    """
    bits = rows.view("<i2").astype(np.int32)
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, _SIGN_EXPONENT_FRACTION, out=bits)
    wide: NDArray[np.float32] = bits.view(np.float32)
    np.multiply(wide, _EXPONENT_SCALE, out=wide)
    if wide.size and (wide.max() > _LARGEST or wide.min() < -_LARGEST):  # infinite, or no number
        return rows.astype(np.float32)
    return wide


def make_table(
    image_ids: Sequence[str], vectors: NDArray[np.float16], class_vectors: NDArray[np.float16] | None = None
) -> pa.Table:
    """Rows of `SCHEMA` from float16 (N, D) arrays; a row of zeros becomes null."""
    absent: Sequence[bytes | None] = [None] * len(image_ids)
    in_class = absent if class_vectors is None else _encode(class_vectors)
    return pa.table({"image_id": list(image_ids), "global": _encode(vectors), "class": in_class}, SCHEMA)


def read_parts(folder: Path, column: str, remedy: str) -> tuple[pa.StringArray, NDArray[np.float16]]:
    """(image_ids, unique; float16 (N, D)) of the rows that have this vector: `global` or `class`; newest row of an id.

    Raises `DamagedFileError` if the vectors differ in length.
    """
    table = parquet_parts.read(folder, pa.schema([SCHEMA.field("image_id"), SCHEMA.field(column)]), remedy=remedy)
    table = parquet_parts.keep_newest(table, KEY)
    table = table.filter(pc.is_valid(table[column]))
    ids = pa.concat_arrays(table["image_id"].chunks) if len(table) else pa.array([], pa.string())
    return ids, _decode(table[column], folder, remedy)


def read_ids(folder: Path) -> set[str]:
    """The images that have a row."""
    return set(parquet_parts.read(folder, pa.schema([SCHEMA.field("image_id")]))["image_id"].to_pylist())


def count_images(folder: Path) -> int:
    """Number of images with a row in an intact part; several processes may each have written one of the same image."""
    ids = parquet_parts.read_surveyed(folder, pa.schema([SCHEMA.field("image_id")]))["image_id"]
    return int(pc.count_distinct(ids).as_py())


def read_dimensions(folder: Path, remedy: str) -> int:
    """Number of dimensions of the vectors in a folder with rows, from its first part."""
    return parquet_parts.with_listing(folder, lambda names: _first_dimensions(folder, names, remedy))


def _first_dimensions(folder: Path, part_names: list[str], remedy: str) -> int:
    column = pa.schema([SCHEMA.field("global")])
    for name in part_names:
        lengths = pc.binary_length(parquet_parts.read_parts(folder, [name], column, remedy=remedy)["global"])
        if (longest := pc.max(lengths).as_py()) is not None:
            return int(longest) // VECTOR_DTYPE.itemsize
    return 0


def _encode(vectors: NDArray[np.float16]) -> list[bytes | None]:
    rows = np.ascontiguousarray(vectors, VECTOR_DTYPE)
    return [row.tobytes() if row.any() else None for row in rows]


def _decode(column: pa.ChunkedArray, folder: Path, remedy: str) -> NDArray[np.float16]:
    """Binary column without nulls -> float16 (N, D), without a copy per row."""
    lengths = pc.unique(pc.binary_length(column)).to_pylist()
    if not lengths:
        return np.empty((0, 0), VECTOR_DTYPE)
    if len(lengths) > 1 or lengths[0] % VECTOR_DTYPE.itemsize or not lengths[0]:
        raise DamagedFileError(f"The embeddings in {folder.parent.name!r} differ in length: {remedy}.")
    width = lengths[0] // VECTOR_DTYPE.itemsize
    vectors = np.empty((len(column), width), VECTOR_DTYPE)
    start = 0
    for chunk in column.chunks:
        if len(chunk):
            first = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset]
            data = np.frombuffer(chunk.buffers()[2], VECTOR_DTYPE, len(chunk) * width, first)
            vectors[start : start + len(chunk)] = data.reshape(len(chunk), width)
            start += len(chunk)
    return vectors
