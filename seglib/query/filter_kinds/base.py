"""What every filter has: a key, a label, a codec, and a predicate for pandas and one for SQL."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import Condition

FilterValue = tuple[str, ...] | tuple[float, float] | str
"""Value of a filter: chosen names (`""` means null), a range that includes both ends, or a text."""


@dataclass(frozen=True)
class Filter(ABC):
    """One kind of filter: URL key, page label, codec and predicate."""

    key: str
    label: str

    suffix: ClassVar[str] = ""
    """What the key is followed by after a dot, as in `share.cat` and `column.camera`: "class", "column", or nothing."""

    @abstractmethod
    def decode(self, texts: list[str]) -> FilterValue:
        """Parse all texts given for this key. Raises `FilterError`."""

    def encode(self, value: FilterValue) -> list[str]:
        return [value] if isinstance(value, str) else [str(v) for v in value]

    @abstractmethod
    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        """bool per row; `name` is what follows the dot in the key, if anything."""

    @abstractmethod
    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        """The same for a prepared table: holds for the rows that `matches`."""

    def uses_tags(self, value: Any) -> bool:
        """Whether it needs the column `tags`, which a table may be read without."""
        return False
