"""Read the values of an expression as the kind of their field asks for.

Each function raises `ValueError` with the end of a sentence that says what was expected.
"""

import math
import re

from seglib.errors import FilterError
from seglib.query.column_filter import Range, parse_range
from seglib.query.columns import AGREEMENT_WORDS
from seglib.query.expressions.names import describe_choice
from seglib.query.expressions.quoting import write_name
from seglib.query.fields import Field, Kind

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?")

_UNIT_FIELDS = ("confidence", "entropy")
"""Fields other than shares whose values lie within 0..1."""

_AGREEMENTS = {name: name for name in AGREEMENT_WORDS} | {word: name for name, word in AGREEMENT_WORDS.items()}
"""As the table and as pages call it -> as the table does; empty for no agreement."""


def read_value(text: str, field: Field) -> Range:
    """The numbers or dates that are equal to the value: a date without a time stands for its whole day."""
    if ".." in text:
        low, _, high = text.partition("..")
        name = write_name(field.name)
        raise ValueError(f"a range is written {name} >= {low or 'A'} and {name} <= {high or 'B'}.")
    if field.kind is Kind.DATE:
        return _read_date(text)
    number = _read_number(text, field)
    return Range(number, number)


def _read_number(text: str, field: Field) -> float:
    is_unit = field.is_share or field.name in _UNIT_FIELDS
    digits = text.removesuffix("%")
    if digits != text and not is_unit:
        raise ValueError(f"{write_name(field.name)} is not a share, so it has no percent: write a number.")
    number = float(digits) / (1 if digits == text else 100) if _NUMBER.fullmatch(digits) else math.nan
    if not math.isfinite(number):
        example = "0.1 or 10%" if is_unit else "300"
        raise ValueError(f"{write_name(field.name)} is a number: write it like {example}.")
    if is_unit and not 0 <= number <= 1:
        raise ValueError(f"{write_name(field.name)} lies between 0 and 1: write 0.1 or 10% for a tenth.")
    return number


def _read_date(text: str) -> Range:
    try:
        if _DATE.fullmatch(text):
            return parse_range(text.replace(" ", "T"), Kind.DATE, "")
    except FilterError:
        pass  # a day that does not exist
    raise ValueError('a date is written 2024-01-31, and with a time 2024-01-31T12:00 or "2024-01-31 12:00".')


def read_boolean(text: str) -> str:
    """`true` or `false`."""
    if text.lower() not in ("true", "false"):
        raise ValueError("this field is true or false.")
    return text.lower()


def read_name(text: str, field: Field) -> str:
    """The name as the table has it; empty for an agreement that is missing."""
    if not text:
        raise ValueError(f"a field without a value is written {write_name(field.name)} is missing.")
    if field.name != "agreement":
        return text
    if text not in _AGREEMENTS:
        known = [name for name in _AGREEMENTS if name]
        raise ValueError(f"agreement has no such value; {describe_choice(text, known)}")
    return _AGREEMENTS[text]
