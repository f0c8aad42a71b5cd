"""Three small parts drawn in the browser: the gallery, a matrix whose cells are buttons, and "Copy link".

In: plain data (names, addresses of pictures, numbers). Out: what the visitor did, through callbacks. Their scripts
put names into the page as text, never as HTML. Knows nothing of stores, filters or tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


_gallery = st.components.v2.component("seglib_gallery", css=_text("gallery.css"), js=_text("gallery.js"))
_matrix = st.components.v2.component("seglib_matrix", css=_text("matrix.css"), js=_text("matrix.js"))
_copy_link = st.components.v2.component("seglib_copy_link", css=_text("copy_link.css"), js=_text("copy_link.js"))


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One photo of the gallery; texts are shown as they are."""

    photo: str | None
    """Address of the thumbnail."""
    mask: str | None
    """Address of the colour mask that lies on it."""
    aspect: float
    """Width divided by height."""
    name: str
    alt: str
    found: str
    """What was found most: `cat`."""
    share: str
    confidence: str
    warning: str
    """Empty, or why the photo deserves a look."""
    note: str
    """Empty, or what one should know of the file."""
    bar: list[tuple[str, float, str]]
    """(class, share 0..1, colour), the largest first."""


@dataclass(frozen=True)
class Look:
    """How all tiles are drawn; changing it is the browser's own work."""

    overlay: bool
    opacity: int
    size: int


def gallery(
    tiles: Sequence[Tile],
    legend: Sequence[tuple[str, str]],
    look: Look,
    *,
    sizes: tuple[int, int],
    key: str,
    on_look: Callable[[], None],
) -> None:
    """Justified rows of tiles. `on_look` is called when overlay, opacity or size were changed (see `look_of`)."""
    data = {
        "tiles": [asdict(tile) for tile in tiles],
        "legend": [list(entry) for entry in legend],
        "look": asdict(look),
        "sizes": list(sizes),
    }
    _gallery(key=key, data=data, on_look_change=on_look)


def look_of(key: str) -> Look | None:
    """What the gallery `key` says of its look in a callback; None if that makes no sense."""
    said = _said(key, "look")
    try:
        return Look(bool(said["overlay"]), int(said["opacity"]), int(said["size"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        return None


@dataclass(frozen=True, kw_only=True)
class Cell:
    value: int
    tone: str = ""
    """`agrees`, `contradicts` or nothing."""
    level: float = 0.0
    """Strength of the tint, 0..1."""
    hint: str = ""


def matrix(
    corner: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    *,
    key: str,
    on_cell: Callable[[], None],
) -> None:
    """A table of counts; cells above 0 are buttons. `on_cell` is called after a click (see `cell_of`)."""
    data = {
        "corner": corner,
        "columns": list(columns),
        "rows": [{"name": name, "cells": [asdict(cell) for cell in cells]} for name, cells in rows],
    }
    _matrix(key=key, data=data, on_cell_change=on_cell)


def cell_of(key: str, rows: int, columns: int) -> tuple[int, int] | None:
    """(row, column) of the cell that was clicked in the matrix `key` of this size, in a callback."""
    said = _said(key, "cell")
    try:
        row, column = int(said["row"]), int(said["column"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return (row, column) if 0 <= row < rows and 0 <= column < columns else None


def _said(key: str, name: str) -> Any:
    """What a component sent; it comes from the browser, so it may be anything."""
    return dict(st.session_state.get(key) or {}).get(name)


def copy_link(command: str, *, key: str) -> None:
    """A button that copies the address of the page as it is at the click, and shows it and a command for the shell."""
    _copy_link(key=key, data={"command": command}, width="content")
