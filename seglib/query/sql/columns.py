"""Name the columns of a prepared table: a class or a column of the user is a number in SQL, never its own name."""

from collections.abc import Callable

import pandas as pd

from seglib.errors import UnknownName
from seglib.masks.statistics import blobs_column, pixels_column
from seglib.query.columns import category_codes, classes_of
from seglib.query.fields import COLUMN_PREFIX, Kind, find_field, own_columns
from seglib.query.sql.condition import Condition, has_name, is_in

PRESENCE_BITS = 63
"""Classes per column of presence bits, a signed integer of 64 bits."""


class SqlColumns:
    """The columns of a prepared table, by the names of the table's fields (`query.fields`)."""

    def __init__(self, head: pd.DataFrame) -> None:
        """`head`: the table as a `Store.table` frame with tags and without rows, with all names of its categories."""
        self.head = head
        self.classes = classes_of(head)
        self._own = own_columns(head)

    def value(self, field: str) -> str:
        """The expression of a field's values. Raises `UnknownName`."""
        name = find_field(self.head, field).name
        group, _, rest = name.partition(".")
        if group == "column":
            return self.frame_column(COLUMN_PREFIX + rest)
        return self.share(rest) if group == "share" else self.blobs(rest) if group == "blobs" else name

    def number(self, field: str) -> str:
        """The same as a float64: dates as microseconds since 1970, other values as `columns.to_float64` gives them."""
        value = self.value(field)
        is_date = find_field(self.head, field).kind is Kind.DATE
        return f"(epoch_us({value})::double)" if is_date else f"({value}::double)"

    def share(self, name: str) -> str:
        """Raises `UnknownName` if no model knows the class; so do `blobs` and `present`."""
        return f"share_{self._number(name)}"

    def blobs(self, name: str) -> str:
        return f"blobs_{self._number(name)}"

    def present(self, name: str) -> Condition:
        """Whether the class is present."""
        word, bit = divmod(self._number(name), PRESENCE_BITS)
        return Condition(f"(present_{word} & {1 << bit} <> 0)")

    def presence_words(self) -> list[str]:
        return [f"present_{word}" for word in range(-(-len(self.classes) // PRESENCE_BITS))]

    def names(self, field: str) -> list[str]:
        """The names that a field of categories can have. Raises `UnknownName`."""
        from seglib.query.fields import field_values

        return category_codes(field_values(self.head, field))[1]

    def has_tag(self, is_hit: Callable[[str], bool], *, missing: bool = False) -> Condition:
        """Whether the joined tags of the image are a hit; with `missing`, also if it has none."""
        hits = [joined for joined in self.names("tag") if is_hit(joined)]
        tagged = is_in("tags", hits)
        some = Condition(f"(image_id in (select image_id from tags where {tagged.text}))", tagged.values)
        return some | Condition("(image_id not in (select image_id from tags))") if missing else some

    def has_category(self, field: str, is_hit: Callable[[str], bool], *, missing: bool = False) -> Condition:
        """Whether the name of a field of categories is a hit; with `missing`, also if there is none."""
        return has_name(self.value(field), [name for name in self.names(field) if is_hit(name)], missing=missing)

    def frame_column(self, name: str) -> str:
        """The column of SQL that holds a column of the frame; `px:<class>` is `share` times the area of the mask."""
        if name.startswith(COLUMN_PREFIX):
            return f"column_{self._own.index(name.removeprefix(COLUMN_PREFIX))}"
        for number, one in enumerate(self.classes):
            if name == pixels_column(one):
                return f"share_{number}"
            if name == blobs_column(one):
                return f"blobs_{number}"
        return name

    def _number(self, name: str) -> int:
        if name not in self.classes:
            raise UnknownName("class", name, self.classes)
        return self.classes.index(name)
