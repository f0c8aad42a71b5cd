"""The map of Similar: each selected photo is a point, coloured by a field; a lasso chooses the photos shown beneath."""

from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.components.photos import map as map_component
from dashboard.components.photos.map import MapCategory, MapPalette, MapSources
from dashboard.formatting import count, photo_count
from dashboard.queries.photos import Positions
from dashboard.queries.similarity import maps
from dashboard.queries.similarity.colours import FIRST_CODE, MISSING_CODE, NO_VALUE, colour_fields
from dashboard.queries.similarity.lasso import Lasso
from dashboard.queries.similarity.maps import MapPoints, PublishedMap
from dashboard.state import session
from dashboard.state.url_values import parse_lasso
from dashboard.state.view import PROJECTIONS, View
from dashboard.views.shared import controls
from dashboard.views.similar import computing
from dashboard.views.similar.found_gallery import found_gallery, viewer_state
from dashboard.views.similar.scope import SimilarScope
from seglib.similarity.projection import LABELS, available_methods

KEY = "map"
DEFAULT_COLOUR = "label"

MAP_CHANGED = (
    "The map has changed since this lasso was drawn, so it no longer says which photos it holds: draw it again."
)


def render(scope: SimilarScope) -> None:
    selection, view = scope.selection, scope.selection.view
    points = maps.map_points(selection.source, scope.vectors, view.projection)
    if points is None and view.projection not in available_methods():
        label = LABELS[view.projection]
        st.info(f"{label} is not installed on this server: choose PCA, or run `pip install '.[map]'` there.")
        return
    if points is None:
        computing.render(scope, view.projection)
        return
    colour = view.colour if view.colour in _field_labels(scope) else DEFAULT_COLOUR
    if colour != view.colour:
        layout.show_notes([f"This run has no field {view.colour!r} to colour the map by."])
    chosen = positions_on_map(scope, points)
    _map_card(scope, points, maps.publish_map(selection.source, selection.filters, points, colour))
    _heading(scope, points, chosen)
    if len(chosen):
        found_gallery(scope, chosen)


def choices(scope: SimilarScope) -> None:
    """Draw the choice of the field that colours the map, and of the projection, if there are several."""
    view, methods = scope.selection.view, available_methods()
    labels = _field_labels(scope)
    names = {name: f"Colour: {label}" for name, label in labels.items()}
    controls.view_select("Colour by", "colour", names | {view.colour: names.get(view.colour, "Colour")}, width=220)
    if len(methods) > 1 or view.projection != "pca":
        names = {name: LABELS[name] for name in PROJECTIONS if name in (*methods, view.projection)}
        controls.view_select("Projection", "projection", names, width=120)


def _field_labels(scope: SimilarScope) -> dict[str, str]:
    return {field.name: field.label for field in colour_fields(scope.selection.source)}


def positions_on_map(scope: SimilarScope, points: MapPoints) -> Positions:
    """Return the selected photos in the lasso, or all on the map if there is none, or one of another map."""
    view, selection = scope.selection.view, scope.selection
    lasso = view.lasso if fits(view.lasso, points) else ""
    return maps.positions_in_lasso(scope.query, view.sort, selection.focus, lasso, points)


def fits(lasso: str, points: MapPoints) -> bool:
    """Return whether a lasso was drawn on this map."""
    try:
        return bool(lasso) and Lasso.parse(lasso).map_id == points.id
    except ValueError:
        return False


def _map_card(scope: SimilarScope, points: MapPoints, published: PublishedMap) -> None:
    view, scale = scope.selection.view, published.scale
    method = f"{LABELS[view.projection]} of {scope.chosen.title}"
    note = f"similar photos are near each other; {method}; drag around photos to see them below"
    categories = [
        MapCategory(name, colour, int(published.counts[FIRST_CODE + place]))
        for place, (name, colour) in enumerate(scale.categories)
    ]
    missing = int(published.counts[MISSING_CODE])
    words = [f"{one.name} {count(one.count)}" for one in categories[:6] if one.count]
    words += [f"{scale.low} to {scale.high}"] if scale.low else []
    with layout.card("Map", note, stretch=False):
        map_component.photo_map(
            MapSources(points=published.points, codes=published.codes, details=published.details),
            MapPalette(categories=categories, low=scale.low, high=scale.high, missing=missing, missing_name=NO_VALUE),
            map_id=points.id,
            lasso=Lasso.parse(view.lasso).path if fits(view.lasso, points) else "",
            field=scale.field.label,
            alt=f"Map of {photo_count(published.shown)}, coloured by {scale.field.label}: {', '.join(words)}. "
            "Arrow keys move, plus and minus zoom, 0 shows all, Enter chooses the photos in view.",
            key=KEY,
            on_lasso=_draw_lasso,
            on_open=partial(_open, view),
        )


def _draw_lasso() -> None:
    sent = map_component.read_lasso(KEY)
    if sent is None:
        return
    try:
        lasso = sent and parse_lasso(sent)
        if lasso:
            Lasso.parse(lasso)
    except ValueError:
        return
    session.update_from_first_page(lasso=lasso)


def _open(view: View) -> None:
    if image_id := map_component.read_opened_id(KEY):
        session.open_photo(image_id, **viewer_state(view))


def _heading(scope: SimilarScope, points: MapPoints, chosen: Positions) -> None:
    """Draw the line between map and photos: which photos these are, and their order."""
    view = scope.selection.view
    if view.lasso and not fits(view.lasso, points):
        layout.show_notes([MAP_CHANGED])
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        inside = "in the lasso" if fits(view.lasso, points) else "on the map"
        st.markdown(f"**{photo_count(len(chosen))} {inside}**", width="stretch")
        controls.sort_select(scope.selection)
        controls.colours_select()
