"""Read numbers that are written with a decimal point or a decimal comma.

1,234 is either 1.234 or 1234, and 1.234 either 1.234 or 1234: `find_readings` says which readings fit all values of a
column, and `find_decimal` decides for a whole file from the columns where only one does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.errors import UsageError

MOST_EXACT = 2**53
"""From here on, whole numbers are no longer exact in float64, in which filters compare: they are taken as text."""

_WHOLE = r"(?:0|[1-9]\d*|[1-9]\d{0,2}(?:%s\d{3})+)"
_NUMBER = r"^[+-]?(?:%s(?:%s\d*)?|%s\d+)(?:[eE][+-]?\d{1,3})?$"
_SIGNS = {"point": (r"\.", ","), "comma": (",", r"\.")}
"""Convention -> patterns of the decimal sign and of the sign between thousands."""

_PATTERNS = {name: _NUMBER % (_WHOLE % thousands, decimal, decimal) for name, (decimal, thousands) in _SIGNS.items()}
_INFINITE = r"(?i)^[+-]?inf(?:inity)?$"


@dataclass(frozen=True)
class Readings:
    """Which conventions fit all values of a column."""

    point: bool
    comma: bool
    has_signs: bool
    """Whether any value has a point or a comma at all."""
    has_points: bool

    @property
    def fits(self) -> bool:
        return self.point or self.comma

    @property
    def is_ambiguous(self) -> bool:
        return self.point and self.comma and self.has_signs


def is_number(texts: pa.Array, decimal: str) -> NDArray[np.bool_]:
    """bool per text: whether it is a number in this convention, without leading zeros."""
    matches: NDArray[np.bool_] = pc.match_substring_regex(texts, _PATTERNS[decimal]).to_numpy(zero_copy_only=False)
    return matches


def is_infinite(texts: pa.Array) -> NDArray[np.bool_]:
    matches: NDArray[np.bool_] = pc.match_substring_regex(texts, _INFINITE).to_numpy(zero_copy_only=False)
    return matches


def find_readings(texts: pa.Array) -> Readings:
    has_points = bool(pc.any(pc.match_substring(texts, ".")).as_py())
    has_commas = bool(pc.any(pc.match_substring(texts, ",")).as_py())
    return Readings(
        point=bool(is_number(texts, "point").all()),
        comma=bool(is_number(texts, "comma").all()),
        has_signs=has_points or has_commas,
        has_points=has_points,
    )


def find_decimal(columns: Mapping[str, Readings]) -> str:
    """The convention of a file, from its columns of numbers. Raises `UsageError` where none or both are certain."""
    only = {
        "point": [name for name, one in columns.items() if one.point and not one.comma],
        "comma": [name for name, one in columns.items() if one.comma and not one.point],
    }
    if only["point"] and only["comma"]:
        raise UsageError(
            f"The numbers of the column {only['comma'][0]!r} have a decimal comma, and those of {only['point'][0]!r} a "
            "decimal point: write them alike, or take one of the columns as text with `types`."
        )
    if only["comma"]:
        return "comma"
    unclear = [name for name, one in columns.items() if one.is_ambiguous and not one.has_points]
    if unclear and not only["point"]:
        raise UsageError(
            f"The commas in the column {unclear[0]!r} may be decimal commas or stand between thousands: say "
            "`decimal` comma or `decimal` point."
        )
    return "point"


def parse_numbers(texts: pa.Array, decimal: str) -> NDArray[np.float64]:
    """float64 of texts that `is_number`."""
    thousands, sign = (",", ".") if decimal == "point" else (".", ",")
    plain = pc.replace_substring(pc.replace_substring(texts, thousands, ""), sign, ".")
    plain = pc.replace_substring_regex(plain, r"^\+", "")
    numbers: NDArray[np.float64] = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def are_whole(texts: pa.Array, decimal: str) -> bool:
    """Whether no text, all of which are numbers, has a decimal sign or an exponent."""
    sign = _SIGNS[decimal][0]
    return not pc.any(pc.match_substring_regex(texts, f"[eE{sign}]")).as_py()
