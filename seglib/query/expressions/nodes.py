"""The syntax tree of an expression: comparisons, joined by and, or and not.

`parsing.parse` makes it from text, `writing.to_text` writes it as text again, and `evaluation.evaluate` applies it to a
table. Places are positions in the parsed text, from 0; they say where a mistake is and do not take part in `==`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from seglib.errors import FilterError

_MAX_SHOWN = 60
"""Characters of a mistaken word that a message shows."""


class Operator(StrEnum):
    EQUALS = "="
    NOT_EQUALS = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="
    IN = "in"
    NOT_IN = "not in"
    CONTAINS = "contains"
    MISSING = "is missing"
    NOT_MISSING = "is not missing"


@dataclass(frozen=True)
class Comparison:
    """One condition on a field: `share.cat > 0.1`, `label in (cats, dogs)`, `column.camera is missing`."""

    name: str
    """As in `query.fields`, or the bare name of an own column, without quotes: `share.dining table`."""
    operator: Operator
    values: tuple[str, ...] = ()
    """As they were written, without quotes: one, none for `is missing`, any number from one for `in`."""
    place: int = field(default=0, compare=False)
    """Where the name begins."""
    value_places: tuple[int, ...] = field(default=(), compare=False)
    """Where each value begins."""

    def value_place(self, index: int = 0) -> int:
        return self.value_places[index] if index < len(self.value_places) else self.place


@dataclass(frozen=True)
class Not:
    part: "Expression"


@dataclass(frozen=True)
class And:
    parts: "tuple[Expression, ...]"
    """Two or more."""


@dataclass(frozen=True)
class Or:
    parts: "tuple[Expression, ...]"
    """Two or more."""


Expression = Comparison | Not | And | Or


class ExpressionError(FilterError):
    """A mistake in an expression: `At 'lable' (column 18): there is no field of this name; did you mean label?`"""

    def __init__(self, word: str, place: int, reason: str) -> None:
        shown = word if len(word) <= _MAX_SHOWN else word[:_MAX_SHOWN] + "…"
        where = f"At {shown!r}" if word else "At the end"
        super().__init__(f"{where} (column {place + 1}): {reason}")
        self.place = place
        """Where the mistake begins, from 0."""
        self.length = len(word)
        """Characters of the mistake; 0 at the end of the text."""


def comparisons(expression: Expression) -> Iterator[Comparison]:
    """Every comparison of the expression, from left to right."""
    match expression:
        case Comparison():
            yield expression
        case Not(part):
            yield from comparisons(part)
        case And(parts) | Or(parts):
            for one in parts:
                yield from comparisons(one)
