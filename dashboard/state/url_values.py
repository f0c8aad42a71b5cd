"""Read the values of a URL's parameters: each function raises `ValueError` for a text that is not of its form."""

import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, unquote

from seglib.data.image import is_image_id

_TRUTH = re.compile(r"[0-9a-f]{8}\Z")
_LASSO = re.compile(r"[0-9a-f]{8}\.[A-Za-z0-9_-]{16,1400}\Z")
_PAIR_SEPARATOR = ">"


def one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"known are {', '.join(allowed)}")
        return text

    return read


def parse_image_id(text: str) -> str:
    if not is_image_id(text):
        raise ValueError("an image_id is 32 hex digits")
    return text


def parse_truth_id(text: str) -> str:
    if not _TRUTH.match(text):
        raise ValueError("a truth's id is 8 hex digits")
    return text


def parse_lasso(text: str) -> str:
    """Check the form only; `queries.similarity.lasso` reads it."""
    if not _LASSO.match(text):
        raise ValueError("a lasso is drawn on the map")
    return text


def parse_pair(text: str) -> tuple[str, ...]:
    pair = tuple(unquote(name) for name in text.split(_PAIR_SEPARATOR))
    if len(pair) != 2 or not all(pair):
        raise ValueError("two class names are expected, such as cat>dog")
    return pair


def format_pair(pair: tuple[str, ...]) -> str:
    """Class names are arbitrary, so they are quoted to keep them apart from the separator."""
    return _PAIR_SEPARATOR.join(quote(name, safe=" ") for name in pair)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
            raise ValueError(f"a whole number from {low} to {high} is expected")
        return int(text)

    return read
