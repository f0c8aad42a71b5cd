"""The viewer: photos and class-index masks that the browser puts together.

In: addresses of pictures, class names, colours, a look. Out: what the visitor did, through callbacks. Opacity, classes,
outlines, zoom and the heat map are the browser's own work; the server hears of the look when the visitor goes to
another image. Knows nothing of stores or tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.components.base import image_id_of, said
from dashboard.state.view import DIFFERENCES
from seglib.masks.difference import CATEGORIES

_HERE = Path(__file__).parent
_SCRIPTS = ("viewer_masks.js", "viewer_difference.js", "viewer.js")
"""One module for the browser: how a mask is read and drawn, how two of them are, then the parts that one clicks."""

_viewer = st.components.v2.component(
    "seglib_viewer",
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js="\n".join((_HERE / name).read_text("utf-8") for name in _SCRIPTS),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One photo and what the runs have of it; texts are shown as they are."""

    image_id: str
    name: str
    width: int
    height: int
    photo: str
    thumbnail: str | None
    """Shown if the photo cannot be had."""
    note: str
    """Empty, or why the photo's file may not be shown; then the thumbnail is."""
    masks: dict[str, str | None]
    """Run -> address of its mask."""
    heats: dict[str, str]
    """Run -> address of its uncertainty map; none where there can be none."""


@dataclass(frozen=True, kw_only=True)
class RunShown:
    run: str
    title: str
    names: tuple[str, ...]
    colours: tuple[str, ...]
    """`#rrggbb` per class."""


@dataclass(frozen=True, kw_only=True)
class ViewerLook:
    overlay: bool
    opacity: int
    outline: bool
    uncertainty: bool
    names: bool
    hidden: tuple[str, ...]
    difference: str = ""
    """One of `DIFFERENCES`: how the first two runs, A and B, are shown."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the visitor is in a list of images."""

    position: int | None
    """From 0; None if the image is not in the list."""
    total: int


def viewer(
    pictures: Sequence[Picture],
    shown: int,
    runs: Sequence[RunShown],
    place: Place,
    look: ViewerLook,
    *,
    usual_opacity: int,
    key: str,
    on_go: Callable[[], None],
) -> None:
    """`pictures[shown]` and its neighbours in the list, so that the next one is there at once.

    `on_go` is called when the visitor went to another image (see `went`). The opacity is written into the page's
    address unless it is the usual one.
    """
    data = {
        "pictures": [asdict(picture) for picture in pictures],
        "shown": shown,
        "runs": [asdict(run) for run in runs],
        "place": asdict(place),
        "look": asdict(look),
        "usual_opacity": usual_opacity,
        "categories": [asdict(category) for category in CATEGORIES],
    }
    _viewer(key=key, data=data, on_go_change=on_go)


def went(key: str) -> tuple[str, ViewerLook] | None:
    """The image_id and the look that the viewer `key` sent, in a callback; None if that makes no sense."""
    go = said(key, "go")
    try:
        image_id, look = image_id_of(go["image"]), _look_of(go["look"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return (image_id, look) if image_id else None


def _look_of(sent: Any) -> ViewerLook:
    hidden = sent["hidden"]
    if not isinstance(hidden, list) or not all(isinstance(name, str) and name for name in hidden):
        raise ValueError("class names are expected")
    if sent["difference"] not in DIFFERENCES:
        raise ValueError(f"known are {DIFFERENCES}")
    return ViewerLook(
        overlay=bool(sent["overlay"]),
        opacity=min(100, max(0, int(sent["opacity"]))),
        outline=bool(sent["outline"]),
        uncertainty=bool(sent["uncertainty"]),
        names=bool(sent["names"]),
        hidden=tuple(sorted(set(hidden))),
        difference=sent["difference"],
    )
