"""The photos of Overview: a few of the most doubtful, of the most typical, and of those that contradict their folder.

Takes a `Selection`. A photo opens in the viewer, in the order of its group; "show all" opens the group in Explore.
"""

from dataclasses import dataclass, replace
from functools import partial

from dashboard.components.gallery import GalleryTile
from dashboard.components.photos import strip as strip_component
from dashboard.components.photos.strip import StripGroup, StripTile
from dashboard.formatting import count
from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.state.view import FIRST_PAGES, View
from dashboard.views.shared import controls
from dashboard.views.shared.tiles import make_tiles
from seglib.classes import PRESENT_SHARE

KEY = "strip"

_TILES_PER_GROUP = {1: 6, 2: 6, 3: 4}
"""Number of groups -> photos of each."""


@dataclass(frozen=True)
class _Group:
    title: str
    note: str
    more: str
    view: View
    """The view that shows all photos of the group, the first ones first."""


def photo_strip(selection: Selection) -> None:
    """Draw the groups that have photos; nothing if there is none."""
    groups = [group for group in _groups(selection) if len(_positions(selection, group, 1))]
    if not groups:
        return
    number, view = _TILES_PER_GROUP[len(groups)], selection.view
    strip_component.photo_strip(
        [
            StripGroup(title=one.title, note=one.note, more=one.more, tiles=_tiles(selection, one, number))
            for one in groups
        ],
        opacity=view.opacity / 100 if view.overlay else 0.0,
        key=KEY,
        on_open=partial(_open, groups),
        on_all=partial(_show_all, groups),
    )


def _groups(selection: Selection) -> list[_Group]:
    """Return the groups that these photos can have."""
    view, focus = selection.view, selection.focus
    measured = photo_statistics.key_figures(selection.query()).mean_confidence is not None
    groups = []
    if measured:
        groups.append(_Group("Most doubtful", "least confident first", "Show all", replace(view, sort="confidence")))
    if focus:
        sort, words = ("-confidence", "most confident first") if measured else ("-share", "largest share first")
        key = f"share.{focus}"
        shares = view.filters.get(key, (0.0, 1.0))
        filters = view.filters.replace(key, (max(float(shares[0]), PRESENT_SHARE), float(shares[1])))
        typical = replace(view, filters=filters, focus=focus, sort=sort)
        groups.append(_Group("Most typical", f"with {focus}, {words}", "Show all", typical))
    contradictions = photo_statistics.count_contradictions(selection.query())
    if contradictions:
        filters = view.filters.replace("agreement", ("contradicts",))
        contradicting = replace(view, filters=filters, sort="-confidence" if measured else "path")
        words = "folder and content disagree" + (", most confident first" if measured else "")
        groups.append(_Group("Contradictions", words, f"Show all {count(contradictions)}", contradicting))
    return groups


def _positions(selection: Selection, group: _Group, number: int) -> photo_queries.Positions:
    view = group.view
    return photo_queries.first_positions(selection.source, view.filters, view.sort, view.focus, number)


def _tiles(selection: Selection, group: _Group, number: int) -> list[StripTile]:
    rows = photo_queries.rows_at(selection.source, _positions(selection, group, number))
    link = controls.image_link(group.view)
    tiles = make_tiles(rows, selection.store, selection.run.run, selection.view.palette, link=link)
    return [_strip_tile(tile) for tile in tiles]


def _strip_tile(tile: GalleryTile) -> StripTile:
    return StripTile(
        id=tile.id,
        href=tile.href,
        photo=tile.photo,
        mask=tile.mask,
        alt=tile.alt,
        caption=tile.warning or f"{tile.found} {tile.share}".strip(),
        aside="" if tile.warning else tile.aside,
        warning=bool(tile.warning),
    )


def _open(groups: list[_Group]) -> None:
    if opened := strip_component.read_opened(KEY, len(groups)):
        group, image_id = opened
        _go_to(groups[group], pages.IMAGE, image=image_id, origin="")


def _show_all(groups: list[_Group]) -> None:
    if (group := strip_component.read_group(KEY, len(groups))) is not None:
        _go_to(groups[group], pages.EXPLORE, show="gallery")


def _go_to(group: _Group, page: str, **parts: str) -> None:
    view = group.view
    session.go_to_page(page, filters=view.filters, sort=view.sort, focus=view.focus, **FIRST_PAGES, **parts)
