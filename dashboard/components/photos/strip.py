"""A strip of a few photos in groups, each group with a link to all of its photos.

Takes plain data and reports the visitor's actions through callbacks. The script inserts names as text, never as HTML.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from dashboard.components.base import as_image_id, component_value, register_component

_strip = register_component("seglib_photo_strip", css=["photos/strip.css"], js=["dom.js", "photos/strip.js"])


@dataclass(frozen=True, kw_only=True)
class StripTile:
    """One photo; texts are shown as plain text."""

    id: str
    href: str
    """URL of the photo's page."""
    photo: str | None
    """URL of the thumbnail."""
    mask: str | None
    """URL of the coloured mask drawn over it."""
    alt: str
    caption: str
    aside: str
    """A figure at the end of the caption."""
    warning: bool
    """Whether the caption is a warning."""


@dataclass(frozen=True, kw_only=True)
class StripGroup:
    title: str
    note: str
    """How these photos were chosen."""
    more: str
    """Text of the link to all of them."""
    tiles: list[StripTile]


def photo_strip(
    groups: Sequence[StripGroup], *, opacity: float, key: str, on_open: Callable[[], None], on_all: Callable[[], None]
) -> None:
    """Draw the groups side by side, or stacked in a narrow window.

    `opacity`: of the masks, 0..1. `on_open` is called after a click on a photo (see `read_opened`), `on_all` after a
    click on the link of a group (see `read_group`).
    """
    data = {"groups": [asdict(group) for group in groups], "opacity": opacity}
    _strip(key=key, data=data, on_open_change=on_open, on_all_change=on_all)


def read_opened(key: str, groups: int) -> tuple[int, str] | None:
    """Return (group, image_id) of the photo clicked in a strip of this many groups, in a callback."""
    sent = component_value(key, "open")
    if not isinstance(sent, dict):
        return None
    group, image_id = _as_group(sent.get("group"), groups), as_image_id(sent.get("id"))
    return None if group is None or image_id is None else (group, image_id)


def read_group(key: str, groups: int) -> int | None:
    """Return the number of the group of which all photos are wanted, in a callback; None if it is malformed."""
    return _as_group(component_value(key, "all"), groups)


def _as_group(sent: object, groups: int) -> int | None:
    return sent if type(sent) is int and 0 <= sent < groups else None
