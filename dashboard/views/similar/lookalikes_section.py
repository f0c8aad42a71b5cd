"""The photos most similar to one, to the selected ones, or to a photo that the visitor uploads."""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_html, escape_markdown, photo_count, pluralize
from dashboard.queries import photos as photo_queries
from dashboard.queries.similarity import search
from dashboard.queries.similarity.search import FoundPhotos
from dashboard.queries.source import error_message
from dashboard.server import media_urls
from dashboard.state import session
from dashboard.views.shared import controls
from dashboard.views.similar import uploaded_query
from dashboard.views.similar.found_gallery import found_gallery
from dashboard.views.similar.scope import SimilarScope
from dashboard.workers.uploads import data_uri
from seglib.errors import SegError

MAX_QUERIES = 20
"""Most photos that are looked for together, since the link names each."""


def render(scope: SimilarScope) -> None:
    view = scope.selection.view
    _picks_button(scope)
    try:
        upload = uploaded_query.render(scope)
        if upload is not None:
            _draw_queries([(upload.name, data_uri(upload.picture, "jpeg"), "")])
            _results(scope, search.find_similar_to_vector(scope.query, scope.vectors, upload.vector), upload.name)
        elif view.similar:
            names = _queries(scope)
            found = search.find_similar_photos(scope.query, scope.vectors, view.similar[:MAX_QUERIES])
            _results(scope, found, names[0] if len(names) == 1 else pluralize(len(view.similar), "photo"))
        else:
            st.info(
                "Choose a photo: press Similar photos on its card in a gallery or on its own page, "
                "or select some photos in a gallery."
            )
    except SegError as error:
        st.warning(escape_markdown(error_message(error)))


def _picks_button(scope: SimilarScope) -> None:
    picks = session.picks()
    if not len(picks):
        return
    ids = tuple(sorted(picks.ids.slice(0, MAX_QUERIES).to_pylist()))
    if ids == scope.selection.view.similar:
        return
    limit = "" if len(picks) <= MAX_QUERIES else f", the first {MAX_QUERIES} of them"
    st.button(
        f"Similar to the {photo_count(len(picks))} selected{limit}",
        key="similar_to_picks",
        on_click=session.update_from_first_page,
        kwargs={"similar": ids},
    )


def _queries(scope: SimilarScope) -> list[str]:
    """Draw the photos that are looked for, and return their names."""
    store, source, shown = scope.selection.store, scope.selection.source, []
    for image_id in scope.selection.view.similar[:MAX_QUERIES]:
        files = photo_queries.positions_of_image(source, image_id)
        if not len(files):
            continue
        row = photo_queries.table(source).iloc[int(files[0])]
        address = media_urls.thumbnail_url(store, image_id) or ""
        shown.append((str(row["path"]), address, f"{controls.image_link(scope.selection.view)}{image_id}"))
    _draw_queries(shown)
    return [name for name, _, _ in shown]


def _draw_queries(photos: Sequence[tuple[str, str, str]]) -> None:
    """Draw (name, URL of the picture, URL of the photo's page) of the photos that are looked for."""
    figures = []
    for name, address, link in photos:
        picture = f"<img src='{escape_html(address)}' alt=''>" if address else ""
        content = f"{picture}<span>{escape_html(name)}</span>"
        figures.append(f"<a href='{escape_html(link)}' target='_self'>{content}</a>" if link else f"<p>{content}</p>")
    if figures:
        st.html(f"<div class='looked-for'>{''.join(figures)}</div>")


def _results(scope: SimilarScope, found: FoundPhotos, to: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        text = f"**{photo_count(len(found.positions))} most similar to {escape_markdown(to)}**"
        st.markdown(text, help=f"Cosine similarity of the embeddings, by {scope.chosen.title}", width="stretch")
        controls.colours_select()
    if len(found.positions):
        found_gallery(scope, found.positions, [f"similarity {value:.3f}" for value in found.values])
    else:
        layout.remark("No other photo passes the filters.")
