"""Helpers shared by the page components: their files, values sent by the browser, and the menu of figures."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.formatting import slug
from dashboard.server.assets import component_scripts
from dashboard.state import session
from seglib.data.image import is_image_id

_HERE = Path(__file__).parent

_HINT = re.compile(r"[;,]? ?\b(?:drag|a click)\b[^;,]*")
"""Part of a note that says what to do with a chart on the page."""


@dataclass
class _Card:
    """The card that is being drawn."""

    title: str = ""
    note: str = ""
    figures: int = 0
    """Number of charts and matrices drawn in it so far."""


_card: ContextVar[_Card] = ContextVar("card")


def register_component(
    name: str, *, js: Sequence[str], css: Sequence[str] = (), isolate_styles: bool = True
) -> Callable[..., Any]:
    """Register a component made of these files of this folder, and return the function that draws it.

    The scripts form one module, which the browser loads by its URL.
    """
    address = component_scripts.register_script(name, _read(js))
    return st.components.v2.component(
        name, css=_read(css) or None, js=component_scripts.import_statement(address), isolate_styles=isolate_styles
    )


def _read(names: Sequence[str]) -> str:
    return "\n".join((_HERE / name).read_text("utf-8") for name in names)


def as_image_id(sent: object) -> str | None:
    """Return the value if it has the form of an image_id, else None."""
    return sent if isinstance(sent, str) and is_image_id(sent) else None


def component_value(key: str, name: str) -> Any:
    """Return what a component sent; it comes from the browser, so it may be anything."""
    return dict(st.session_state.get(key) or {}).get(name)


@contextmanager
def inside_card(title: str, note: str) -> Iterator[None]:
    """Context manager: charts and matrices drawn inside carry this title and note in the pictures made of them."""
    token = _card.set(_Card(title, note))
    try:
        yield
    finally:
        _card.reset(token)


def figure_menu() -> dict[str, object]:
    """Return what `figure_menu.js` needs to save the figure that is drawn next: texts and file name.

    `corner`: whether its button lies in the corner of the card, which only the card's first figure can take.
    """
    card = _card.get(None) or _Card()
    card.figures += 1
    words = session.selection_words()
    return {
        "title": card.title,
        "note": _HINT.sub("", card.note),
        "about": words.about,
        "file": slug(f"{words.file_name}-{card.title}") or "figure",
        "corner": bool(card.title) and card.figures == 1,
    }
