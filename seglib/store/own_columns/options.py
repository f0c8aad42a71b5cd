"""What the user may say about a file of columns, and the types that a column can have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa

from seglib.errors import UsageError

AUTO = "auto"

KEYS = ("path", "stem", "image_id")
"""What names a photo in a file: its path in the dataset, its file name with or without ending, or its content."""

DECIMALS = ("point", "comma")

DAY_ORDERS = ("day-first", "month-first")
"""How 03/04/2024 is read, if no column tells."""


class ColumnType(StrEnum):
    INTEGER = "integer"
    NUMBER = "number"
    BOOL = "bool"
    DATE = "date"
    """A date, or a date and a time; without a time zone."""
    CATEGORY = "category"
    """Text with few distinct values."""
    TEXT = "text"


ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.DATE: pa.timestamp("us"),
    ColumnType.CATEGORY: pa.dictionary(pa.int32(), pa.string()),
    ColumnType.TEXT: pa.string(),
}

TYPE_WORDS: dict[ColumnType, str] = {
    ColumnType.INTEGER: "whole numbers",
    ColumnType.NUMBER: "numbers",
    ColumnType.BOOL: "true or false",
    ColumnType.DATE: "dates",
    ColumnType.CATEGORY: "categories",
    ColumnType.TEXT: "text",
}


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """How a file of columns is read; what is left out is found from the file, or refused if two readings fit."""

    key: str = AUTO
    """One of `KEYS`, or `auto`."""
    key_column: str | None = None
    """Name of the column that names the photos; None: found."""
    dataset: str | None = None
    """Name or id of the dataset whose photos are meant; None: all."""
    columns: tuple[str, ...] = ()
    """Names of the columns to add; empty: all."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Name of a column -> its type."""
    dates: str | None = None
    """`day-first`, `month-first`, or a format such as `%d.%m.%y`."""
    decimal: str | None = None
    """`point` or `comma`."""
    missing: tuple[str, ...] = ()
    """Words that stand for a missing value in any column, besides the empty text."""
    separator: str | None = None
    """The character between two cells of a CSV file."""
    encoding: str | None = None
    """Encoding of a CSV file that is not UTF-8."""

    def __post_init__(self) -> None:
        known_types = [str(one) for one in ColumnType]
        for what, value, known in (
            ("key", self.key, [AUTO, *KEYS]),
            ("decimal", self.decimal or "point", [*DECIMALS]),
            *((f"type of {name!r}", value, known_types) for name, value in self.types.items()),
        ):
            if value not in known:
                raise UsageError(f"The {what} is {', '.join(known[:-1])} or {known[-1]}, not {value!r}.")
        if self.dates is not None and self.dates not in DAY_ORDERS and "%" not in self.dates:
            raise UsageError(f"`dates` is {', '.join(DAY_ORDERS)} or a format such as %d.%m.%y, not {self.dates!r}.")
        if self.separator is not None and (len(self.separator) != 1 or self.separator in '"\r\n'):
            raise UsageError(f"The separator is a single character such as ; or a tab, not {self.separator!r}.")
