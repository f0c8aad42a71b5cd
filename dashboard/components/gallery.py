"""The photo gallery: tiles drawn in the browser, with look controls, picking and opening.

Takes plain data (names, image URLs, numbers) and reports the visitor's actions through callbacks. The script inserts
names as text, never as HTML.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from dashboard.components.base import as_image_id, component_value, register_component
from seglib.classes import BACKGROUND

MAX_SHOWN_CLASSES = 16
"""Maximum number of classes in a legend before the visitor asks for the others."""

_gallery = register_component("seglib_gallery", css=["gallery.css"], js=["dom.js", "gallery.js"])


@dataclass(frozen=True, kw_only=True)
class GalleryTile:
    """One photo of the gallery; texts are shown as plain text."""

    id: str
    """Sent back by the browser when the tile is picked or opened."""
    href: str = ""
    """URL of the page that a click opens; empty if there is none."""
    similar: str = ""
    """URL of the page with similar photos; empty if there is none."""
    photo: str | None
    """URL of the thumbnail."""
    mask: str | None
    """URL of the coloured mask drawn over it."""
    aspect: float
    """Width divided by height."""
    name: str
    alt: str
    found: str
    """The class with the largest share: `cat`."""
    share: str
    aside: str
    """A second figure at the end of the line: `conf 0.93`."""
    warning: str
    """Empty, or why the photo deserves a look."""
    note: str
    """Empty, or a remark about the file."""
    bar: list[tuple[str, float, str]]
    """(class, share 0..1, colour), the largest first."""
    tags: list[str]
    heading: str = ""
    """Begins a group of tiles, on a line of its own; empty within a group, and where there are none."""
    lines: tuple[str, ...] = ()
    """Further lines below the bar: `dog taken for cat 62 %`."""


@dataclass(frozen=True)
class GalleryLook:
    """How all tiles are drawn; the browser applies changes by itself."""

    overlay: bool
    opacity: int
    size: int


@dataclass(frozen=True)
class PickState:
    """The picked photos, as sent to the gallery."""

    n: int
    """Number of the last message from this gallery that was processed."""
    count: int
    """Number of picked photos on all pages."""
    on: list[str]
    """Ids of the picked photos on this page."""


@dataclass(frozen=True)
class GalleryLegend:
    """What the colours of the tiles mean, as (name, colour)."""

    shown: Sequence[tuple[str, str]]
    more: Sequence[tuple[str, str]] = ()
    """Shown when the visitor asks for them."""

    @classmethod
    def of_classes(
        cls, colours: Mapping[str, str], tiles: Iterable[GalleryTile], untrained: Collection[str] = ()
    ) -> "GalleryLegend":
        """Return a legend of class -> colour: first the classes in these tiles, the largest on them first.

        `untrained`: classes that the model cannot find, since it was never trained on them, and which are marked so.
        """
        shares: Counter[str] = Counter()
        for tile in tiles:
            shares.update({name: share for name, share, _ in tile.bar})
        present = [name for name, _ in shares.most_common() if name in colours]
        absent = [name for name in colours if name not in shares and name != BACKGROUND]
        entries = [
            (f"{name} (not trained)" if name in untrained else name, colours[name]) for name in (*present, *absent)
        ]
        number = min(len(present), MAX_SHOWN_CLASSES)
        return cls(entries[:number], entries[number:])


def gallery(
    tiles: Sequence[GalleryTile],
    legend: GalleryLegend,
    look: GalleryLook,
    picked: PickState,
    *,
    total: int,
    sizes: tuple[int, int],
    key: str,
    grey: bool = False,
    on_look: Callable[[], None],
    on_picks: Callable[[], None],
    on_all: Callable[[], None],
    on_open: Callable[[], None] = lambda: None,
    on_similar: Callable[[], None] = lambda: None,
) -> None:
    """Draw one page of `total` photos as justified rows of tiles.

    `grey`: mute the photos, so that the masks on them stand out.

    `on_look` is called when overlay, opacity or size change (see `read_look`), `on_picks` when photos are picked or
    unpicked (see `read_picks`), `on_all` when the visitor picks all of `total`, `on_open` after a click on a tile with
    a page (see `read_opened_id`), `on_similar` after a click on its button for similar photos (see `read_similar_id`).
    """
    data = {
        "tiles": [vars(tile) for tile in tiles],
        "legend": [list(entry) for entry in legend.shown],
        "more_classes": [list(entry) for entry in legend.more],
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
        on_similar_change=on_similar,
    )


def read_look(key: str) -> GalleryLook | None:
    """Return the look sent by the gallery `key`, in a callback; None if it is malformed."""
    look = component_value(key, "look")
    try:
        return GalleryLook(bool(look["overlay"]), int(look["opacity"]), int(look["size"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        return None


def read_picks(key: str) -> tuple[int, list[object] | None, list[object]] | None:
    """Return the picks sent by the gallery `key`, in a callback: message number, ids shown, ids picked among them.

    If the ids shown are None, all picks are to be cleared. Returns None if the message is malformed; ids are not
    checked.
    """
    picks = component_value(key, "picks")
    try:
        n = int(picks["n"])
        return (n, None, []) if picks.get("none") is True else (n, list(picks["shown"]), list(picks["picked"]))
    except (TypeError, KeyError, ValueError, OverflowError, AttributeError):
        return None


def read_opened_id(key: str) -> str | None:
    """Return the id of the tile clicked in the gallery `key`, in a callback."""
    return as_image_id(component_value(key, "open"))


def read_similar_id(key: str) -> str | None:
    """Return the id of the tile in the gallery `key` whose similar photos are wanted, in a callback."""
    return as_image_id(component_value(key, "similar"))
