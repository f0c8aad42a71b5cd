"""A text box for an expression, with completion of names and values, and the place of a mistake."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from dashboard.components.base import register_component

_box = register_component(
    "seglib_expression",
    css=["expression/box.css"],
    js=["dom.js", "expression/completion.js", "expression/box.js"],
)


class Mistaken(Protocol):
    """What the box needs of a mistake: its sentence, and its place in the text."""

    @property
    def sentence(self) -> str: ...
    @property
    def place(self) -> int: ...
    @property
    def length(self) -> int: ...


def expression_box(
    text: str,
    applied: str,
    mistake: Mistaken | None,
    hints: Sequence[str],
    vocabulary: Mapping[str, Any],
    *,
    answers: int,
    key: str,
    on_apply: Callable[[], None],
) -> None:
    """Draw the box. `on_apply` is called after Enter; `component_value(key, "applied")` is then the text typed.

    `applied`: the expression in effect, which is another than `text` if that has a mistake. `hints`: sentences on the
    one in effect. `vocabulary`: see `queries.expressions.typed.vocabulary`. `answers`: how often the server has
    answered; until it changes, what the visitor types stays.
    """
    data = {
        "text": text,
        "applied": applied,
        "mistake": None if mistake is None else _describe(mistake, text),
        "hints": list(hints),
        "vocabulary": dict(vocabulary),
        "answers": answers,
    }
    _box(key=key, data=data, on_applied_change=on_apply)


def _describe(mistake: Mistaken, text: str) -> dict[str, object]:
    """Places in units of JavaScript's strings, UTF-16."""
    start, end = mistake.place, mistake.place + mistake.length
    return {"sentence": mistake.sentence, "start": _units(text[:start]), "end": _units(text[:end])}


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
