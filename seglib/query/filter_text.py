"""Read and write the texts of filters: the pairs of a URL's query, and the ends of ranges."""

import math
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from seglib.errors import FilterError, shorten

MAX_COUNT = 10**9
"""Upper end of an integer range that is open at the top."""


def parse_pair(part: str, query: str, keys: Iterable[str]) -> tuple[str, str]:
    """`share.cat=0.1..1` -> ("share.cat", "0.1..1")."""
    key, equals, value = part.partition("=")
    if not equals:
        raise FilterError(
            f"A filter reads key=value&key=value, not {shorten(query)!r}: keys are {', '.join(keys)}, and an & within "
            "a name is written %26."
        )
    if value.startswith("+") or value.endswith("+") or "++" in value:
        name, value = shorten(key), shorten(value)
        raise FilterError(
            f"The + in {shorten(part)!r} could mean a space or a plus sign: write "
            f"{name}={value.replace('+', '%2B')} for a plus sign, {name}={value.replace('+', '%20')} for a space."
        )
    return _unquote(key, part), _unquote(value, part)


def _unquote(text: str, part: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeError:
        raise FilterError(
            f"The % in {shorten(part)!r} begins no character of UTF-8: a percent sign within a name is written %25."
        ) from None


def next_below(number: float) -> float:
    """The next smaller float: the upper end of a range that excludes `number`."""
    return math.nextafter(number, -math.inf)


def format_number(value: float) -> str:
    return repr(value).removesuffix(".0")


def format_upper_end(high: float) -> str:
    """Format an upper end; `<0.2` for the float just below 0.2, whose own repr is much longer."""
    following = format_number(math.nextafter(high, math.inf))
    return f"<{following}" if len(following) + 1 < len(format_number(high)) else format_number(high)


def parse_whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_COUNT)) and int(text) <= MAX_COUNT):
        raise ValueError(text)
    return int(text)
