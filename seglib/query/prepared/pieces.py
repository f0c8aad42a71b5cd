"""Turn rows of the table into a piece of the prepared table, and a piece's rows into rows of the table again.

A piece has, for the class number i, `share_<i>` (float64, null if the model does not know the class), `blobs_<i>`, and
bit i of `present_<word>`; the own columns are `column_<i>`. `pieces.to_arrow` also writes what the columns of the table
are called, with their dtypes and names of categories, as metadata `seglib`.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from seglib.classes import PRESENT_SHARE
from seglib.query.columns import class_blobs, classes_of, iter_class_shares, label_agreement, to_float64
from seglib.query.fields import COLUMN_PREFIX, own_columns
from seglib.query.sql.columns import PRESENCE_BITS

_METADATA = b"seglib"
_NULLABLE = {
    **{pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()},
    **{pa.uint16(): pd.UInt16Dtype(), pa.bool_(): pd.BooleanDtype()},
}
_LEFT_OUT = ("run", "model")
"""Columns with a single value, which only the metadata has."""


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """`frame`: rows of one run, as `Store.table` with the scan and without tags."""
    classes, own = classes_of(frame), own_columns(frame)
    columns: dict[str, pa.Array] = {}
    for name in frame.columns:
        if name not in _LEFT_OUT and not name.startswith(("px:", "blobs:", COLUMN_PREFIX)):
            columns[name] = _to_array(frame[name])
    columns["agreement"] = _to_array(label_agreement(frame))
    words = [np.zeros(len(frame), np.int64) for _ in range(-(-len(classes) // PRESENCE_BITS))]
    for number, (_, share) in enumerate(iter_class_shares(frame)):
        columns[f"share_{number}"] = pa.array(share, from_pandas=True)
        words[number // PRESENCE_BITS] |= (share >= PRESENT_SHARE).astype(np.int64) << number % PRESENCE_BITS
    columns |= {f"present_{number}": pa.array(word) for number, word in enumerate(words)}
    columns |= {f"blobs_{number}": _to_array(class_blobs(frame, name)) for number, name in enumerate(classes)}
    columns |= {f"column_{number}": _to_array(frame[COLUMN_PREFIX + name]) for number, name in enumerate(own)}
    described = [[name, str(values.dtype), _categories(values)] for name, values in frame.items()]
    return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(described).encode()})


def _to_array(values: pd.Series) -> pa.Array:
    if values.dtype == np.float32:
        return pa.array(to_float64(values), from_pandas=True)
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy(np.int32)
        return pa.DictionaryArray.from_arrays(
            pa.array(codes, mask=codes < 0), pa.array(values.cat.categories, "string")
        )
    return pa.array(values, from_pandas=True)


def _categories(values: pd.Series) -> list[str] | None:
    return list(values.cat.categories) if isinstance(values.dtype, pd.CategoricalDtype) else None


def read_head(schemas: Sequence[pa.Schema]) -> pd.DataFrame:
    """The table without rows, from the schemas of its pieces: all names of categories, dtypes that fit every piece."""
    columns: dict[str, tuple[set[str], set[str]]] = {}
    for schema in schemas:
        for name, dtype, categories in json.loads(schema.metadata[_METADATA]):
            dtypes, names = columns.setdefault(name, (set(), set()))
            dtypes.add(dtype)
            names.update(categories or ())
    return pd.DataFrame({name: _empty(*kinds) for name, kinds in columns.items()})


def _empty(dtypes: set[str], names: set[str]) -> pd.Series:
    if "category" in dtypes:
        return pd.Series(pd.Categorical([], pd.Index(sorted(names), dtype="str")))
    return pd.Series([], dtype=max(dtypes, key=lambda dtype: dtype[0].isupper()))  # Int32 rather than int32


def to_frame(rows: pa.Table, head: pd.DataFrame) -> pd.DataFrame:
    """Rows of the prepared table as those of the table: the columns of `head`, with its dtypes."""
    area = rows["grid_width"].to_numpy().astype(np.float64) * rows["grid_height"].to_numpy()
    sources = {f"blobs:{name}": f"blobs_{number}" for number, name in enumerate(classes_of(head))}
    sources |= {COLUMN_PREFIX + name: f"column_{number}" for number, name in enumerate(own_columns(head))}
    shares = {f"px:{name}": f"share_{number}" for number, name in enumerate(classes_of(head))}
    columns: dict[str, pd.Series] = {}
    for name, empty in head.items():
        if name in _LEFT_OUT:
            values = pa.array(np.repeat(empty.cat.categories, len(rows)), pa.string())
        elif name in shares:
            values = pa.array(np.rint(rows[shares[str(name)]].to_numpy() * area), pa.int32(), from_pandas=True)
        else:
            values = rows[sources.get(str(name), str(name))]
        columns[str(name)] = to_series(values, empty.dtype)
    return pd.DataFrame(columns)


def to_series(values: pa.Array | pa.ChunkedArray, dtype: Any) -> pd.Series:
    """Values with the dtype that they have in the table."""
    if isinstance(dtype, pd.CategoricalDtype):
        return pd.Series(values.dictionary_encode().to_pandas()).cat.set_categories(dtype.categories)
    return pd.Series(values.to_pandas(types_mapper=_NULLABLE.get)).astype(dtype)
