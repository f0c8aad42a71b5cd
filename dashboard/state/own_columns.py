"""Own columns in words and as sort orders: what chips, menus and links say of them, without the store.

A link does not say which kind a column has, so a range is recognised by its looks: `100..400`, `..2024-03-31`.
"""

import re
from collections.abc import Sequence

from dashboard.formatting import NO_VALUE
from seglib.query.fields import Field, Kind

_PREFIX = "column."
_END = r"(?:[+-]?[\d.]*\d(?:e[+-]?\d+)?|\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?)"
_RANGE = re.compile(rf"(?P<low>{_END})?\.\.(?P<below><?)(?P<high>{_END})?", re.IGNORECASE)

TYPE_WORDS: dict[Kind, str] = {
    Kind.NUMBER: "numbers",
    Kind.INTEGER: "whole numbers",
    Kind.DATE: "dates",
    Kind.BOOLEAN: "true or false",
    Kind.CATEGORY: "categories",
    Kind.TEXT: "text",
}

_ENDS: dict[Kind, tuple[str, str]] = {
    Kind.NUMBER: ("smallest first", "largest first"),
    Kind.INTEGER: ("smallest first", "largest first"),
    Kind.DATE: ("earliest first", "latest first"),
    Kind.BOOLEAN: ("false first", "true first"),
}
"""Kind of a column -> what comes first in ascending and in descending order; others are sorted as text."""


def is_column_sort(sort: str) -> bool:
    """Return whether photos are sorted by an own column: `column.iso`, `-column.iso`."""
    return sort.removeprefix("-").startswith(_PREFIX)


def column_sorts(fields: Sequence[Field]) -> dict[str, str]:
    """Return the two sort orders of each own column: key in the URL -> label."""
    orders = {}
    for field in fields:
        ascending, descending = _ENDS.get(field.kind, ("A to Z", "Z to A"))
        orders[field.name] = f"{field.label}: {ascending}"
        orders[f"-{field.name}"] = f"{field.label}: {descending}"
    return orders


def describe_column_filter(name: str, texts: Sequence[object]) -> str:
    """Return the text of a filter chip: `camera: Canon, no value`, `iso: 100 to 400`."""
    return f"{name}: {', '.join(_describe_text(str(text)) for text in texts)}"


def _describe_text(text: str) -> str:
    found = _RANGE.fullmatch(text)
    if found is None or not (found["low"] or found["high"]):
        return text.replace("T", " ") if re.fullmatch(_END, text) else text or NO_VALUE
    low, high = (end and end.replace("T", " ") for end in (found["low"], found["high"]))
    if not high:
        return f"{low} or more" if "-" not in low[1:] else f"from {low}"
    if found["below"]:
        return f"{low} to below {high}" if low else f"below {high}"
    return f"{low} to {high}" if low else f"up to {high}"
