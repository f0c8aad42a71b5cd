"""Read a file of vectors that another model has made, such as CLIP or DINO: NPZ, NPY with a CSV beside it, or Parquet.

`read_vectors` returns a `VectorFile`: a name of each image, and its vector. Nothing is unpickled.
"""

import csv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seglib.errors import UsageError

KEY_NAMES = ("image_id", "path", "stem", "key", "keys", "id", "ids", "name", "names", "file", "filename", "paths")
VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings", "features")

MAX_DIMENSIONS = 16_384


@dataclass(frozen=True)
class VectorFile:
    keys: list[str]
    """What names the images, (N,); unique."""
    vectors: NDArray[np.floating]
    """(N, D), finite, no row of zeros."""


def read_vectors(file: Path, keys_file: Path | None = None) -> VectorFile:
    """Read and check a file of vectors; `keys_file` is the CSV that names the rows of a .npy file.

    Raises `UsageError` with what is wrong with it.
    """
    readers = {".npz": _read_npz, ".npy": _read_npy, ".parquet": _read_parquet}
    if (reader := readers.get(file.suffix.lower())) is None:
        raise UsageError(f"{file.name!r} is no file of embeddings: expected .npz, .npy with a CSV, or .parquet.")
    if keys_file is not None and reader is not _read_npy:
        raise UsageError(f"{file.name!r} names its rows itself: leave out the file of keys, which is for .npy files.")
    if not file.is_file():
        raise UsageError(f"There is no file {str(file)!r}.")
    keys, vectors = reader(file, keys_file)
    _check(file.name, keys, vectors)
    return VectorFile(keys, vectors)


def _read_npz(file: Path, _keys_file: Path | None) -> tuple[list[str], NDArray[Any]]:
    try:
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError, AttributeError) as error:
        raise _unreadable(file, error) from None
    texts = {name: value for name, value in arrays.items() if value.dtype.kind in "US" and value.ndim == 1}
    numbers = {name: value for name, value in arrays.items() if value.dtype.kind in "fiu" and value.ndim == 2}
    keys, vectors = _choose(texts, KEY_NAMES), _choose(numbers, VECTOR_NAMES)
    if keys is None or vectors is None:
        held = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in list(arrays.items())[:8])
        raise UsageError(
            f"{file.name!r} holds {held or 'nothing'}: expected one array of text (N,), named image_id, path or stem, "
            "and one of numbers (N, D), named vectors."
        )
    return keys.astype("U").tolist(), vectors


def _read_npy(file: Path, keys_file: Path | None) -> tuple[list[str], NDArray[Any]]:
    try:
        with file.open("rb") as stream:
            vectors = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(file, error) from None
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        what = f"{vectors.dtype} {vectors.shape}" if isinstance(vectors, np.ndarray) else "an archive"
        raise UsageError(f"{file.name!r} holds {what}: expected numbers (N, D), one row per photo.")
    beside = keys_file or file.with_suffix(".csv")
    if not beside.is_file():
        raise UsageError(
            f"{file.name!r} does not name its rows, and there is no {beside.name!r} beside it: write a CSV with the "
            "column image_id, path or stem, one line per row."
        )
    return _read_keys(beside), vectors


def _read_keys(file: Path) -> list[str]:
    """The column of a CSV that names images: one of `KEY_NAMES`, or the only one."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(file, error) from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    named = [index for index, name in enumerate(header) if name in KEY_NAMES]
    if len(named) != 1:
        raise UsageError(
            f"{file.name!r} has the columns {', '.join(map(repr, header[:8])) or 'of an empty file'}: expected a first "
            "line with one column named image_id, path or stem."
        )
    if any(len(row) <= named[0] for row in rows):
        raise UsageError(f"{file.name!r} has lines with fewer cells than its first one.")
    return [row[named[0]] for row in rows[1:]]


def _read_parquet(file: Path, _keys_file: Path | None) -> tuple[list[str], NDArray[Any]]:
    try:
        table = pq.read_table(file, memory_map=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, error) from None
    columns = {name: table[name] for name in table.column_names}
    texts = {name: column for name, column in columns.items() if _is_text(column.type)}
    lists = {name: column for name, column in columns.items() if _is_list_of_numbers(column.type)}
    keys, vectors = _choose(texts, KEY_NAMES), _choose(lists, VECTOR_NAMES)
    if keys is None or vectors is None:
        raise UsageError(
            f"{file.name!r} has the columns {', '.join(f'{n!r} {c.type}' for n, c in list(columns.items())[:8])}: "
            "expected one column of text, named image_id, path or stem, and one of lists of numbers, named vector."
        )
    if keys.null_count or vectors.null_count:
        raise UsageError(f"{file.name!r} has rows without a key or without a vector: leave them out.")
    lengths = pc.unique(pc.list_value_length(vectors)).to_pylist()
    if len(lengths) != 1:
        raise UsageError(f"{file.name!r} has vectors of {len(lengths)} different lengths: expected one.")
    numbers = pc.list_flatten(vectors).combine_chunks()
    rows = np.asarray(numbers.to_numpy(zero_copy_only=False)).reshape(len(keys), lengths[0])
    return keys.cast(pa.string()).to_pylist(), rows


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _choose(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The only value, or the only one with a usual name; None if there is none, or several fit."""
    fitting = [value for name, value in found.items() if name.lower() in names] or list(found.values())
    return fitting[0] if len(fitting) == 1 else None


def _check(name: str, keys: list[str], vectors: NDArray[Any]) -> None:
    """Raise `UsageError` unless there is one good vector per key, and every key is there once."""
    if len(keys) != len(vectors):
        raise UsageError(f"{name!r} has {len(vectors):,} vectors and {len(keys):,} keys: expected one key per vector.")
    if not len(keys) or not 2 <= vectors.shape[1] <= MAX_DIMENSIONS:
        raise UsageError(
            f"{name!r} has vectors {vectors.shape}: expected at least one row, of 2 to {MAX_DIMENSIONS:,} numbers."
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        key = keys[int(np.argmin(finite))]
        raise UsageError(
            f"{name!r} has {int((~finite).sum()):,} vectors with NaN or infinite numbers, that of {key[:80]!r} "
            "for one: leave such rows out."
        )
    zero = ~vectors.any(axis=1)
    if zero.any():
        key = keys[int(np.argmax(zero))]
        raise UsageError(
            f"{name!r} has {int(zero.sum()):,} vectors of zeros, which have no direction, that of {key[:80]!r} "
            "for one: leave such rows out."
        )
    values, counts = np.unique(np.asarray(keys, dtype=object).astype("U"), return_counts=True)
    if (counts > 1).any():
        repeated = str(values[int(np.argmax(counts > 1))])
        raise UsageError(f"{name!r} has several vectors for {repeated[:80]!r}: expected one per photo.")


def _unreadable(file: Path, error: Exception) -> UsageError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "pickle" in reason.lower():
        reason = "it holds Python objects, which are not read: save the keys as an array of text, np.array(keys, str)"
    return UsageError(f"{file.name!r} cannot be read ({reason[:160].rstrip(' .')}).")
