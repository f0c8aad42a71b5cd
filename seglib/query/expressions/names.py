"""Find the field that an expression names, or say which one was probably meant."""

import difflib
from collections.abc import Iterable

import pandas as pd

from seglib.errors import UnknownName
from seglib.query.columns import classes_of
from seglib.query.expressions.nodes import Comparison, ExpressionError
from seglib.query.expressions.quoting import write_name, write_value
from seglib.query.fields import COLUMN_PREFIX, Field, find_field, list_fields, own_columns

PRESENT = "present"
"""Not a field, but the classes of which a photo shows at least `PRESENT_SHARE`: `present = cat`."""

_SHOWN_NAMES = 12
"""Names that a message lists if none is similar."""


def resolve_field(comparison: Comparison, table: pd.DataFrame) -> Field:
    """The field of the table that the comparison names; the bare name of an own column stands for `column.<name>`,
    unless a field of the store is called so. Raises `ExpressionError`.
    """
    name = comparison.name
    try:
        return find_field(table, name)
    except UnknownName:
        if COLUMN_PREFIX + name in table:
            return find_field(table, f"column.{name}")
    raise ExpressionError(write_name(name), comparison.place, _describe_unknown(name, table))


def _describe_unknown(name: str, table: pd.DataFrame) -> str:
    known = [PRESENT, *(field.name for field in list_fields(table))]
    group, _, rest = name.partition(".")
    if name == "tag":
        return "this table was read without tags."
    if group in ("share", "blobs") and rest:
        names = classes_of(table)
        similar = closest(rest, names)
        meant = f"{group}.{similar}" if similar is not None else None
        what = f"no model of this table knows a class {rest!r}"
        listed = names
    else:
        classes = {one: f"share.{one}" for one in classes_of(table)}
        bare = {one: one for one in (*known, *own_columns(table))} | classes
        similar = closest(name, bare)
        meant = bare[similar] if similar is not None else None
        what, listed = "there is no field of this name", known
    return f"{what}; {_suggest(None if meant is None else write_name(meant), map(write_name, listed))}"


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like the word, in any case; None if none is."""
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(name.casefold(), name)
    matches = difflib.get_close_matches(word.casefold(), folded, 1)
    return folded[matches[0]] if matches else None


def describe_choice(word: str, known: list[str]) -> str:
    """The end of a sentence on a value that is none of the known ones: `did you mean dogs?`"""
    similar = closest(word, known)
    return _suggest(None if similar is None else write_value(similar), map(write_value, known))


def _suggest(meant: str | None, known: Iterable[str]) -> str:
    if meant is not None:
        return f"did you mean {meant}?"
    names = list(known)
    more = ", …" if len(names) > _SHOWN_NAMES else ""
    return f"known are {', '.join(names[:_SHOWN_NAMES]) or 'none'}{more}."
