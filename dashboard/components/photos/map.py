"""A map of photos, one point per photo, drawn in the browser, with a lasso, and a menu that saves it.

The points come by routes of their own (`server.maps`), never in the page's messages. The script inserts names as text,
never as HTML.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from dashboard.components.base import as_image_id, component_value, figure_menu, register_component

_map = register_component(
    "seglib_photo_map",
    css=["figure_menu.css", "photos/map.css"],
    js=["dom.js", "paper.js", "figure_menu.js", "photos/map_points.js", "photos/map.js"],
)


@dataclass(frozen=True)
class MapCategory:
    name: str
    colour: str
    """`#rrggbb`; empty: a grey."""
    count: int


@dataclass(frozen=True, kw_only=True)
class MapPalette:
    """What the codes of the points mean; 0 is not shown, 1 has no value, from 2 on they are colours."""

    categories: Sequence[MapCategory] = ()
    low: str = ""
    high: str = ""
    """Texts at the ends of a scale of colours; without categories."""
    missing: int = 0
    """Number of photos without a value."""
    missing_name: str = ""


@dataclass(frozen=True, kw_only=True)
class MapSources:
    """URLs from which the browser takes the points."""

    points: str
    codes: str
    details: str
    """Without an ending."""


def photo_map(
    sources: MapSources,
    palette: MapPalette,
    *,
    map_id: str,
    lasso: str,
    field: str,
    alt: str,
    key: str,
    on_lasso: Callable[[], None],
    on_open: Callable[[], None],
) -> None:
    """Draw a map. `map_id` names its coordinates; `lasso`: its corners as in the URL, or empty; `field`: what colours.

    `on_lasso` is called when the visitor has drawn a lasso or cleared it (see `read_lasso`), `on_open` after a click on
    a point (see `read_opened_id`).
    """
    data = {
        **asdict(sources),
        "table": f"{sources.details}.csv",
        "palette": {
            "kind": "scale" if palette.low else "categories",
            "entries": [asdict(one) for one in palette.categories],
            "low": palette.low,
            "high": palette.high,
            "missing": palette.missing,
            "missing_name": palette.missing_name,
        },
        "map": map_id,
        "lasso": lasso,
        "field": field,
        "alt": alt,
        "menu": figure_menu(),
    }
    _map(key=key, data=data, on_lasso_change=on_lasso, on_open_change=on_open)


def read_lasso(key: str) -> str | None:
    """Return the lasso that the map `key` sent, in a callback: `<map>.<corners>`, or empty to clear it; not validated.

    None if the message is malformed.
    """
    sent = component_value(key, "lasso")
    return sent if isinstance(sent, str) else None


def read_opened_id(key: str) -> str | None:
    """Return the id of the photo whose point was clicked in the map `key`, in a callback."""
    return as_image_id(component_value(key, "open"))
