"""Small parts drawn in the browser: the gallery, charts, a matrix whose cells are buttons, "Copy link", a sign of life.

In: plain data (names, addresses of pictures, numbers). Out: what the visitor did, through callbacks. Their scripts
put names into the page as text, never as HTML. Knows nothing of stores, filters or tables.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import plotlyjs
from dashboard.charts import Figure
from dashboard.settings import own_address

_HERE = Path(__file__).parent
_IMAGE_ID = re.compile(r"[0-9a-f]{32}\Z")


def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


_gallery = st.components.v2.component("seglib_gallery", css=_text("gallery.css"), js=_text("gallery.js"))
_chart = st.components.v2.component("seglib_chart", js=_text("chart.js"), isolate_styles=False)  # plotly has styles
_matrix = st.components.v2.component("seglib_matrix", css=_text("matrix.css"), js=_text("matrix.js"))
_drawn = st.components.v2.component("seglib_drawn", js=_text("drawn.js"))
_copy_link = st.components.v2.component("seglib_copy_link", css=_text("copy_link.css"), js=_text("copy_link.js"))


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One photo of the gallery; texts are shown as they are."""

    id: str
    """What the browser calls it when it is picked or opened."""
    href: str = ""
    """Address of the page that a click opens; empty if there is none."""
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
    aside: str
    """A second figure at the end of the line: `conf 0.93`."""
    warning: str
    """Empty, or why the photo deserves a look."""
    note: str
    """Empty, or what one should know of the file."""
    bar: list[tuple[str, float, str]]
    """(class, share 0..1, colour), the largest first."""
    tags: list[str]


@dataclass(frozen=True)
class Look:
    """How all tiles are drawn; changing it is the browser's own work."""

    overlay: bool
    opacity: int
    size: int


@dataclass(frozen=True)
class Picked:
    """Which photos are picked, as the gallery is told and as it tells."""

    n: int
    """Of the last message from this gallery that is taken into account."""
    count: int
    """All that are picked, on whatever page."""
    on: list[str]
    """Ids of those that are on this page."""


def gallery(
    tiles: Sequence[Tile],
    legend: Sequence[tuple[str, str]],
    look: Look,
    picked: Picked,
    *,
    total: int,
    sizes: tuple[int, int],
    key: str,
    grey: bool = False,
    on_look: Callable[[], None],
    on_picks: Callable[[], None],
    on_all: Callable[[], None],
    on_open: Callable[[], None] = lambda: None,
) -> None:
    """Justified rows of tiles, one page of `total`.

    `grey`: the photos stand back behind their masks.

    `on_look` is called when overlay, opacity or size were changed (see `look_of`), `on_picks` when photos were picked
    or not any more (see `picks_of`), `on_all` when all of `total` are wanted, `on_open` after a click on a tile with a
    page (see `opened_of`).
    """
    data = {
        "tiles": [asdict(tile) for tile in tiles],
        "legend": [list(entry) for entry in legend],
        "look": asdict(look),
        "picks": asdict(picked),
        "total": total,
        "sizes": list(sizes),
        "grey": grey,
    }
    _gallery(
        key=key,
        data=data,
        on_look_change=on_look,
        on_picks_change=on_picks,
        on_all_change=on_all,
        on_open_change=on_open,
    )


def look_of(key: str) -> Look | None:
    """What the gallery `key` says of its look in a callback; None if that makes no sense."""
    look = said(key, "look")
    try:
        return Look(bool(look["overlay"]), int(look["opacity"]), int(look["size"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        return None


def picks_of(key: str) -> tuple[int, list[object] | None, list[object]] | None:
    """What the gallery `key` says of its picks in a callback: number of the message, ids shown, those of them picked.

    Without ids shown, nothing at all shall be picked any more. None if it makes no sense; ids are not checked.
    """
    picks = said(key, "picks")
    try:
        n = int(picks["n"])
        return (n, None, []) if picks.get("none") is True else (n, list(picks["shown"]), list(picks["picked"]))
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError):
        return None


def opened_of(key: str) -> str | None:
    """Id of the tile that was clicked in the gallery `key`, in a callback."""
    return image_id_of(said(key, "open"))


def image_id_of(sent: object) -> str | None:
    """What was sent, if it has the form of an image_id."""
    return sent if isinstance(sent, str) and _IMAGE_ID.match(sent) else None


def chart(
    figure: Figure, *, alt: str, key: str, boxes: bool = False, on_marks: Callable[[], None] | None = None
) -> None:
    """A chart. `on_marks` is called after a click on a mark, or (`boxes`) a box drawn around marks: see `marks_of`."""
    data = {
        "figure": figure.to_json(validate=False),
        "height": figure.layout.height,
        "alt": alt,
        "boxes": boxes,
        "listens": on_marks is not None,
        "script": own_address(plotlyjs.address()),
    }
    _chart(key=key, data=data, on_marks_change=on_marks or (lambda: None))


def marks_of(key: str) -> list[object] | None:
    """What the marks chosen in the chart `key` carry, in a callback; none after a double click that clears it.

    None if it makes no sense; what they carry comes from the browser and is not checked.
    """
    marks = said(key, "marks")
    return marks if isinstance(marks, list) else None


@dataclass(frozen=True, kw_only=True)
class Cell:
    value: int
    text: str = ""
    """What is shown for it; empty: the value itself."""
    tone: str = ""
    """`agrees`, `contradicts`, `differs` or nothing."""
    level: float = 0.0
    """Strength of the tint, 0..1."""
    hint: str = ""
    chosen: bool | None = None
    """Whether its photos are among those that the matrix itself has filtered; None if it filters nothing."""


def matrix(
    corner: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    *,
    key: str,
    on_cell: Callable[[], None],
) -> None:
    """A table of numbers; cells above 0 are buttons. `on_cell` is called after a click (see `cell_of`)."""
    data = {
        "corner": corner,
        "columns": list(columns),
        "rows": [{"name": name, "cells": [asdict(cell) for cell in cells]} for name, cells in rows],
    }
    _matrix(key=key, data=data, on_cell_change=on_cell)


def cell_of(key: str, rows: int, columns: int) -> tuple[int, int] | None:
    """(row, column) of the cell that was clicked in the matrix `key` of this size, in a callback."""
    cell = said(key, "cell")
    try:
        row, column = int(cell["row"]), int(cell["column"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return (row, column) if 0 <= row < rows and 0 <= column < columns else None


def said(key: str, name: str) -> Any:
    """What a component sent; it comes from the browser, so it may be anything."""
    return dict(st.session_state.get(key) or {}).get(name)


def copy_link(command: str, *, key: str) -> None:
    """A button that copies the address of the page as it is at the click, and shows it and a command for the shell."""
    _copy_link(key=key, data={"command": command}, width="content")


def drawn(*, key: str, on_drawn: Callable[[], None]) -> None:
    """Shows nothing. `on_drawn` is called once the pictures that are in view are there."""
    _drawn(key=key, data={"script": own_address(plotlyjs.address())}, height=1, on_drawn_change=on_drawn)
