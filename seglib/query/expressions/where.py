"""Read the text of `--where`, which is the filter part of a URL or an expression, and the filters of a saved view.

    label=cats&share.cat=0.1..1              the filter part of a URL: nothing but key=value, joined by &
    label = cats and share.cat >= 10%        an expression: its first operator is not a bare =, or has a space before it

A text that can be read in both ways is refused.
"""

import re
from urllib.parse import parse_qsl

from seglib.errors import FilterError
from seglib.query.expressions.nodes import And
from seglib.query.expressions.parsing import parse
from seglib.query.expressions.writing import to_text
from seglib.query.filters import FILTERS, Filters
from seglib.store.saved_views.saved_view import find_view
from seglib.store.store import Store

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


def choose_filters(store: Store, where: str | None, view: str | None) -> tuple[Filters, str]:
    """(filters, run) that the text of `--where` and the name of a saved view stand for; a photo has to pass both.

    The run is that of the view; empty without one. Raises `UsageError`.
    """
    filters = read_where(where or "")
    if view is None:
        return filters, ""
    view_filters, run = read_view_filters(find_view(store, view).query)
    return combine_filters(view_filters, filters), run


def read_view_filters(query: str) -> tuple[Filters, str]:
    """(filters, run) of a page's URL, whose other keys say what the page shows; the run is empty if it names none.

    Raises `FilterError` for a filter that is not valid.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    filters = Filters.from_pairs((key, text) for key, text in pairs if key.partition(".")[0] in FILTERS)
    return filters, dict(pairs).get("run", "")


def combine_filters(first: Filters, second: Filters) -> Filters:
    """The filters that a row passes if it passes both. Raises `FilterError` if both have one on the same field."""
    values = {**first, **second}
    if "where" in first and "where" in second:
        values["where"] = to_text(And((parse(str(first["where"])), parse(str(second["where"])))))
    for key in first:
        if key != "where" and key in second and first[key] != second[key]:
            raise FilterError(
                f"The view and the filter beside it both have {key}: write the latter as an expression, such as "
                "label = dogs, so that photos have to pass both."
            )
    return Filters(values)


def describe_filters(filters: Filters) -> str:
    """The filters in one line, as they are typed; `all photos` without any."""
    pairs = [text if key == "where" else f"{key}={text or 'missing'}" for key, text in filters.pairs()]
    return "; ".join(pairs) or "all photos"
