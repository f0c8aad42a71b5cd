"""Name everything that images can be filtered, sorted, charted, coloured and sliced by: the fields of the table.

A field's name is the key of its filter: `label`, `confidence`, `share.cat`, `blobs.cat`, and `column.camera` for a
column that the user brought or that was read from the photos. `field_values` returns a field's values for the rows of a
`Store.table` frame, whatever its kind.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from seglib.errors import UnknownName
from seglib.query.columns import class_blobs, class_share, classes_of, label_agreement
from seglib.store import schemas
from seglib.store.store import Store

COLUMN_PREFIX = schemas.COLUMN_PREFIX


class Kind(StrEnum):
    """What a field's values are, and hence which filters, charts and slices it can have."""

    NUMBER = "number"
    """float64, NaN where unknown."""
    INTEGER = "integer"
    """Int64, or a smaller integer."""
    CATEGORY = "category"
    """Categorical."""
    TEXT = "text"
    """str."""
    DATE = "date"
    """datetime64 without a time zone."""
    BOOLEAN = "boolean"
    """pandas' nullable boolean."""
    TAGS = "tags"
    """Names joined by `TAG_SEPARATOR`; categorical."""


@dataclass(frozen=True)
class Field:
    name: str
    """As in filters, links and expressions: `label`, `share.cat`, `column.camera`."""
    label: str
    """As on pages: `Folder`, `Share of cat`, `camera`."""
    kind: Kind
    is_share: bool = False
    """Whether the values are shares, 0..1, that pages show in percent."""


@dataclass(frozen=True)
class _Fixed:
    field: Field
    values: Callable[[pd.DataFrame], pd.Series]


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: table[name]


_FIXED: dict[str, _Fixed] = {
    field.name: _Fixed(field, values)
    for field, values in (
        (Field("dataset", "Data set", Kind.CATEGORY), _column("dataset")),
        (Field("split", "Split", Kind.CATEGORY), _column("split")),
        (Field("label", "Folder", Kind.CATEGORY), _column("label")),
        (Field("content", "Content", Kind.CATEGORY), _column("content")),
        (Field("animal", "Animal", Kind.CATEGORY), _column("animal")),
        (Field("dominant", "Dominant class", Kind.CATEGORY), _column("dominant")),
        (Field("agreement", "Folder and content agree?", Kind.CATEGORY), label_agreement),
        (Field("confidence", "Confidence", Kind.NUMBER), _column("confidence")),
        (Field("entropy", "Entropy", Kind.NUMBER), _column("entropy")),
        (Field("low_margin", "Undecided pixels", Kind.NUMBER, is_share=True), _column("low_margin")),
        (Field("width", "Photo width (px)", Kind.INTEGER), _column("width")),
        (Field("height", "Photo height (px)", Kind.INTEGER), _column("height")),
        (Field("path", "Path", Kind.TEXT), _column("path")),
        (Field("tag", "Tag", Kind.TAGS), _column("tags")),
    )
}


def list_fields(table: pd.DataFrame) -> list[Field]:
    """Every field of a `Store.table` frame: own columns first, then the fixed ones, then shares and blobs by class."""
    own = [_own_field(table, name) for name in own_columns(table)]
    fixed = [one.field for one in _FIXED.values() if one.field.kind is not Kind.TAGS or "tags" in table]
    names = classes_of(table)
    return [*own, *fixed, *map(_share_field, names), *map(_blobs_field, names)]


def is_column(name: str) -> bool:
    """Whether a field of this name is an own column or a measure of the photos, if there is one."""
    return name not in _FIXED and name.partition(".")[0] not in ("share", "blobs")


def uses_columns(filters: Mapping[str, object]) -> bool:
    """Whether the filters need own columns or measures of the photos, without which a table may be read."""
    from seglib.query.expressions.names import PRESENT
    from seglib.query.expressions.nodes import comparisons
    from seglib.query.expressions.parsing import parse

    names = (one.name for one in comparisons(parse(str(filters["where"])))) if "where" in filters else ()
    return any(key.startswith("column.") for key in filters) or any(
        is_column(name) for name in names if name != PRESENT
    )


def read_table(
    store: Store,
    runs: Iterable[str] | None,
    filters: Mapping[str, object],
    *,
    with_tags: bool = True,
    with_scan: bool = False,
) -> pd.DataFrame:
    """`Store.table` for these filters: without the photos' measures if none reads them, so that a damaged part of the
    measures stops nothing else.
    """
    return store.table(runs, with_tags=with_tags, with_scan=with_scan, with_measures=uses_columns(filters))


def find_field(table: pd.DataFrame, name: str) -> Field:
    """The field of this name. Raises `UnknownName` if the table has none, listing those that it has."""
    group, _, rest = name.partition(".")
    if not rest and name in _FIXED and (name != "tag" or "tags" in table):
        return _FIXED[name].field
    if group == "column" and COLUMN_PREFIX + rest in table:
        return _own_field(table, rest)
    if group in ("share", "blobs") and rest in classes_of(table):
        return _share_field(rest) if group == "share" else _blobs_field(rest)
    raise UnknownName("field", name, [field.name for field in list_fields(table)])


def field_values(table: pd.DataFrame, name: str) -> pd.Series:
    """The values of a field, one per row of the table, with the dtype of its `Kind`. Raises `UnknownName`."""
    field = find_field(table, name)
    if field.name in _FIXED:
        return _FIXED[field.name].values(table)
    group, _, rest = field.name.partition(".")
    return {
        "share": lambda: class_share(table, rest),
        "blobs": lambda: class_blobs(table, rest),
        "column": lambda: table[COLUMN_PREFIX + rest],
    }[group]()


def own_columns(table: pd.DataFrame) -> list[str]:
    """The names, without prefix, of the table's own columns, in its order."""
    return [name.removeprefix(COLUMN_PREFIX) for name in table.columns if name.startswith(COLUMN_PREFIX)]


def column_kind(values: pd.Series) -> Kind:
    """The kind of an own column, by its dtype."""
    types = pd.api.types
    if isinstance(values.dtype, pd.CategoricalDtype):
        return Kind.CATEGORY
    if types.is_bool_dtype(values.dtype):
        return Kind.BOOLEAN
    if types.is_integer_dtype(values.dtype):
        return Kind.INTEGER
    if types.is_float_dtype(values.dtype):
        return Kind.NUMBER
    return Kind.DATE if types.is_datetime64_any_dtype(values.dtype) else Kind.TEXT


def _own_field(table: pd.DataFrame, name: str) -> Field:
    return Field(f"column.{name}", name, column_kind(table[COLUMN_PREFIX + name]))


def _share_field(name: str) -> Field:
    return Field(f"share.{name}", f"Share of {name}", Kind.NUMBER, is_share=True)


def _blobs_field(name: str) -> Field:
    return Field(f"blobs.{name}", f"Regions of {name}", Kind.INTEGER)
