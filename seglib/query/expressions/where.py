"""Read the text of `--where`, which is the filter part of a URL, as ever, or an expression.

    label=cats&share.cat=0.1..1              the filter part of a URL: nothing but key=value, joined by &
    label = cats and share.cat >= 10%        an expression: its first operator is not a bare =, or has a space before it

A text that can be read in both ways is refused.
"""

import re

from seglib.errors import FilterError
from seglib.query.expressions.parsing import parse
from seglib.query.filters import Filters

_COMPACT = re.compile(r"[^\s<>!(][^\s<>!]*")
"""What an expression never looks like: it begins with no parenthesis, and holds no space, and no operator but =."""

_KEY = re.compile(r"[\w.%+-]+=")
"""How a URL's filter begins: a key, as a URL writes it, right before its =."""


def read_where(text: str) -> Filters:
    """The filters that the text stands for; an expression becomes the filter `where`.

    Raises `FilterError` if it is neither, or both.
    """
    text = text.strip()
    if not text or _COMPACT.fullmatch(text):
        return Filters.decode(text)
    filters, expression = _try_filters(text), _try_expression(text)
    if isinstance(filters, Filters) and isinstance(expression, Filters) and _KEY.match(text.removeprefix("?")):
        spaced = text.replace("=", " =", 1)
        raise FilterError(
            f"{text!r} is an expression, and the filter part of a URL as well, with a name that holds spaces: write "
            f"{spaced!r} for the expression, or %20 for each space of the name."
        )
    if isinstance(expression, Filters):
        return expression
    if isinstance(filters, Filters):
        return filters
    raise filters if _KEY.match(text) else expression


def _try_filters(text: str) -> Filters | FilterError:
    try:
        return Filters.decode(text)
    except FilterError as error:
        return error


def _try_expression(text: str) -> Filters | FilterError:
    try:
        parse(text)
    except FilterError as error:
        return error
    return Filters({"where": text})
