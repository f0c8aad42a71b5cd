"""Check an expression that a visitor typed or a link holds against a run, and list what can be typed."""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dashboard.formatting import user_message
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import HASHES, RunSource
from dashboard.state.view import View
from seglib.classes import ANIMALS, BACKGROUND
from seglib.errors import SegError
from seglib.query.columns import AGREEMENTS, category_codes, split_tags
from seglib.query.fields import Field, Kind, field_values, list_fields

WHERE = "where"
"""Key of the filter that an expression is."""

_MAX_VALUES = 200
"""Names of a field that are offered; a visitor who types more letters of another one is not hindered."""


@dataclass(frozen=True)
class Mistake:
    sentence: str
    place: int = 0
    """Where it begins in the text, from 0."""
    length: int = 0
    """Its characters; 0 at the end of the text, and if it has no place."""


def check(source: RunSource, text: str) -> Mistake | None:
    """Return why the expression cannot be applied to the run; None if it can."""
    from seglib.query.expressions.evaluation import evaluate
    from seglib.query.expressions.nodes import ExpressionError
    from seglib.query.expressions.parsing import parse

    try:
        photo_queries.check_filter(source, WHERE, canonical(text))
    except ExpressionError as first:
        error = first
        try:  # again as it was typed, for the place
            evaluate(parse(text), photo_queries.table_head(source))
        except ExpressionError as typed:
            error = typed
        except SegError:
            pass
        return Mistake(user_message(str(error)), error.place, error.length)
    except SegError as other:
        return Mistake(user_message(str(other)))
    return None


def canonical(text: str) -> str:
    """Return the expression as `to_text` writes it. Raises `ExpressionError`."""
    from seglib.query.expressions.parsing import parse
    from seglib.query.expressions.writing import to_text

    return to_text(parse(text))


def fit_expression(view: View, source: RunSource) -> tuple[View, list[str]]:
    """Drop the view's expression if it does not fit the run, with a sentence that says why."""
    text = str(view.filters.get(WHERE, ""))
    mistake = check(source, text) if text else None
    if mistake is None:
        return view, []
    notes = [f"The expression {text} was left out: {mistake.sentence}"]
    return replace(view, filters=view.filters.replace(WHERE, None)), notes


def unknown_names(source: RunSource, text: str) -> list[str]:
    """Return a sentence for each name in the expression that no photo of the run has."""
    return _unknown_names(source, text) if text else []


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=HASHES)
def _unknown_names(source: RunSource, text: str) -> list[str]:
    from seglib.query.expressions.evaluation import describe_unknown_names
    from seglib.query.expressions.parsing import parse

    return describe_unknown_names(parse(text), photo_queries.table_head(source))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def vocabulary(source: RunSource) -> dict[str, Any]:
    """Return what can be typed: `classes`, those of most photos first, and `fields`: name, label, kind, values."""
    from seglib.query.expressions.names import PRESENT
    from seglib.query.expressions.quoting import write_name, write_value

    head = photo_queries.table_head(source)
    photos_of = photo_queries.options(source, "present")
    by_photos = sorted(photo_queries.classes(source), key=lambda name: (name == BACKGROUND, -photos_of.get(name, 0)))
    classes = [write_value(name) for name in by_photos]
    fields = [field for field in list_fields(head) if not field.name.startswith(("share.", "blobs."))]
    described = [
        {
            "name": write_name(field.name),
            "label": field.label,
            "kind": field.kind.value,
            "values": [write_value(name) for name in _names(head, field)[:_MAX_VALUES]],
        }
        for field in fields
    ]
    present = {"name": PRESENT, "label": "Contains class", "kind": PRESENT, "values": classes}
    return {"classes": classes, "fields": [*described, present]}


def _names(head: Any, field: Field) -> list[str]:
    if field.name == "agreement":
        return [*AGREEMENTS]
    if field.name == "animal":
        return [*ANIMALS, "none"]
    if field.kind is Kind.BOOLEAN:
        return ["true", "false"]
    if field.kind is Kind.TAGS:
        return sorted({name for joined in _categories(head, field) for name in split_tags(joined)})
    return _categories(head, field) if field.kind is Kind.CATEGORY else []


def _categories(head: Any, field: Field) -> list[str]:
    return category_codes(field_values(head, field.name))[1]
