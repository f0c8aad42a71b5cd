"""Small parts drawn in the browser: the gallery, charts, a matrix whose cells are buttons, "Copy link", a sign of life.

In: plain data (names, addresses of pictures, numbers). Out: what the visitor did, through callbacks. Their scripts
put names into the page as text, never as HTML. Knows nothing of stores, filters or tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from dashboard.components.base import _text, image_id_of, said

_gallery = st.components.v2.component("seglib_gallery", css=_text("gallery.css"), js=_text("gallery.js"))


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
