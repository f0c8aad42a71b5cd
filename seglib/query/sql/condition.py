"""Conditions of SQL with bound values, so that no name of a class, column or folder becomes part of the text."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """A condition of a `where` clause. A row for which it is null does not pass, nor its `&` or `|` with others."""

    text: str
    values: tuple[Any, ...] = ()
    """Of the placeholders in the text, in order."""

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(f"({self.text} and {other.text})", self.values + other.values)

    def __or__(self, other: "Condition") -> "Condition":
        return Condition(f"({self.text} or {other.text})", self.values + other.values)

    def __invert__(self) -> "Condition":
        """The plain opposite, as in pandas: a row passes either the condition or this one, also where it is null."""
        return Condition(f"(not coalesce({self.text}, false))", self.values)


EVERY_ROW = Condition("true")
NO_ROW = Condition("false")


def is_missing(column: str) -> Condition:
    return Condition(f"({column} is null)")


def is_in(column: str, values: Collection[Any]) -> Condition:
    """The value is one of these, none of which is null."""
    return Condition(f"({column} in ({', '.join('?' * len(values))}))", tuple(values)) if values else NO_ROW


def has_name(column: str, names: Collection[str], *, missing: bool = False) -> Condition:
    """The name is one of these; with `missing`, also if there is none."""
    return is_in(column, names) | is_missing(column) if missing else is_in(column, names)


def compare(column: str, operator: str, number: float) -> Condition:
    return Condition(f"({column} {operator} ?::double)", (number,))


def contains_text(column: str, part: str) -> Condition:
    """The text contains this part, ignoring case as pandas does: both use RE2."""
    return Condition(f"regexp_matches({column}, ?, 'il')", (part,))
