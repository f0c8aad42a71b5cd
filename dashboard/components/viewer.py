"""The viewer: the browser combines photos and class-index masks.

Takes image URLs, class names, colours and a look, and reports the visitor's actions through callbacks. Opacity,
classes, outlines, zoom and the heat map are handled in the browser; the server receives the look when the visitor moves
to another image.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dashboard.charts.theme import class_colours, shared_colours
from dashboard.components.base import as_image_id, component_value, register_component
from dashboard.state.view import DIFFERENCE_MODES, URL_KEYS, View
from seglib.masks.difference import CATEGORIES, Category

_viewer = register_component(
    "seglib_viewer",
    css=["viewer.css"],
    js=["dom.js", "viewer_masks.js", "viewer_difference.js", "viewer.js"],
)


@dataclass(frozen=True, kw_only=True)
class ViewerImage:
    """One photo and its masks from each run; texts are shown as plain text."""

    image_id: str
    name: str
    width: int
    height: int
    photo: str
    thumbnail: str | None
    """Shown if the photo is not available."""
    note: str
    """Empty, or why the photo's file may not be shown; the thumbnail is shown instead."""
    masks: dict[str, str | None]
    """Run -> URL of its mask."""
    heats: dict[str, str]
    """Run -> URL of its uncertainty map; runs that cannot have one are absent."""


@dataclass(frozen=True, kw_only=True)
class ViewerRun:
    run: str
    title: str
    names: tuple[str, ...]
    colours: tuple[str, ...]
    """`#rrggbb` per class."""

    @classmethod
    def create(cls, run: str, title: str, classes: tuple[str, ...], colours: str) -> "ViewerRun":
        """Return a run whose classes have the colours of this palette."""
        return cls(run=run, title=title, names=classes, colours=tuple(class_colours(classes, colours).values()))

    def with_colours(self, shared: Mapping[str, str]) -> "ViewerRun":
        """Return the run with the colours that its classes have on a page with other runs; empty changes none."""
        return replace(self, colours=tuple(shared[name] for name in self.names)) if shared else self


@dataclass(frozen=True, kw_only=True)
class ViewerPair:
    """The two runs whose difference is shown, A and B."""

    runs: tuple[int, int] = (0, 1)
    """Their places among the viewer's runs."""
    sides: tuple[str, str] = ("A", "B")
    """One letter or digit for each."""
    title: str = "A against B"
    categories: Sequence[Category] = CATEGORIES
    """`CATEGORIES`, in its order, with labels that suit the pair."""


@dataclass(frozen=True, kw_only=True)
class ViewerLook:
    """Each field has the meaning of the same field of `View`."""

    overlay: bool
    opacity: int
    outline: bool
    uncertainty: bool
    names: bool
    hidden: tuple[str, ...]
    difference: str = ""

    @classmethod
    def from_view(cls, view: View) -> "ViewerLook":
        return cls(**{field.name: getattr(view, field.name) for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class ListPosition:
    """Position of the image in the visitor's list."""

    position: int | None
    """From 0; None if the image is not in the list."""
    total: int
    page_key: str | None = None
    """The URL's key of the number of the gallery's page that holds the image; empty: the list has no pages; None: the
    image is not in the URL at all."""
    page_size: int = 1


def viewer(
    pictures: Sequence[ViewerImage],
    current: int,
    runs: Sequence[ViewerRun],
    place: ListPosition,
    look: ViewerLook,
    *,
    colours: str,
    pair: ViewerPair | None = None,
    key: str,
    on_navigate: Callable[[], None],
) -> None:
    """Draw `pictures[shown]`; its neighbours in the list are sent along, so that the next one appears at once.

    `colours`: the palette, in which a class has one colour in all runs. `pair`: the first two runs if not given.
    `on_navigate` is called when the visitor moves to another image (see `read_navigation`). The browser writes the
    image, the page and the look to the URL, each unless it is the default, and adds no entry to its history.
    """
    shared = shared_colours([run.names for run in runs], colours)
    data = {
        "pictures": [asdict(picture) for picture in pictures],
        "shown": current,
        "runs": [asdict(run.with_colours(shared)) for run in runs],
        "place": asdict(place),
        "look": asdict(look),
        "usual_opacity": View().opacity,
        "pair": asdict(pair or ViewerPair()),
        "url_keys": URL_KEYS,
    }
    _viewer(key=key, data=data, on_go_change=on_navigate)


def read_navigation(key: str) -> tuple[str, ViewerLook] | None:
    """Return the image_id and the look sent by the viewer `key`, in a callback; None if they are malformed."""
    go = component_value(key, "go")
    try:
        image_id, look = as_image_id(go["image"]), _parse_look(go["look"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return (image_id, look) if image_id else None


def _parse_look(sent: Any) -> ViewerLook:
    hidden = sent["hidden"]
    if not isinstance(hidden, list) or not all(isinstance(name, str) and name for name in hidden):
        raise ValueError("class names are expected")
    if sent["difference"] not in DIFFERENCE_MODES:
        raise ValueError(f"known are {DIFFERENCE_MODES}")
    return ViewerLook(
        overlay=bool(sent["overlay"]),
        opacity=min(100, max(0, int(sent["opacity"]))),
        outline=bool(sent["outline"]),
        uncertainty=bool(sent["uncertainty"]),
        names=bool(sent["names"]),
        hidden=tuple(sorted(set(hidden))),
        difference=sent["difference"],
    )
