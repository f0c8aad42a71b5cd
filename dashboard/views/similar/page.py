"""Similar page: which photos look alike. A map of embeddings, look-alikes, near-duplicates, unusual photos.

Takes a `Selection`; the sections take a `SimilarScope`.
"""

from collections.abc import Callable

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_markdown
from dashboard.queries.photos import Selection
from dashboard.queries.similarity import vectors as vector_queries
from dashboard.queries.source import error_message
from dashboard.state import pages, session
from dashboard.views.selection import saved_views
from dashboard.views.shared import controls, page_header, selection_bar
from dashboard.views.similar import duplicates_section, lookalikes_section, map_section, outliers_section
from dashboard.views.similar.scope import SimilarScope, select_scope
from seglib.errors import SegError
from seglib.query.filters import Filters

SECTIONS: dict[str, tuple[str, Callable[[SimilarScope], None]]] = {
    "map": ("Map", map_section.render),
    "similar": ("Similar photos", lookalikes_section.render),
    "duplicates": ("Near-duplicates", duplicates_section.render),
    "outliers": ("Unusual", outliers_section.render),
}
"""Value of `View.find` -> title of the section, function that draws it."""

NO_EMBEDDINGS = (
    "This store has no embeddings, the numbers by which photos are found to be similar: run a built-in model over the "
    "photos again on Runs, or add a file of them with `python -m seglib embeddings add FILE --name NAME`."
)


def render(selection: Selection) -> None:
    with layout.heading(pages.SIMILAR):
        saved_views.menu(selection)
        page_header.copy_link(selection)
    layout.chips(selection.filters)
    if page_header.show_if_empty(selection):
        return
    try:
        scope = select_scope(selection)
        problems = vector_queries.problems(selection.source)
        layout.show_notes(problems)
        if scope is None and problems:
            return
        if scope is None:
            st.info(NO_EMBEDDINGS)
            st.button(f"Go to {pages.RUNS}", key="go", on_click=session.open_page, args=(pages.RUNS, Filters()))
            return
        _controls(scope)
        if scope.note:
            layout.show_notes([scope.note])
        elif not scope.with_vector:
            st.info(escape_markdown(f"No photo of this run has an embedding of {scope.chosen.title}: choose others."))
        else:
            SECTIONS[selection.view.find][1](scope)
    except SegError as error:
        st.error(escape_markdown(error_message(error)))
    selection_bar.selection_bar(selection)


def _controls(scope: SimilarScope) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="similar_controls"):
        controls.view_switch("What to look for", "find", {name: title for name, (title, _) in SECTIONS.items()})
        titles = {one.vectors.name: one.title for one in scope.offered}
        if len(titles) > 1:
            key = session.sync_widget("w:embeddings", scope.vectors.name)
            st.selectbox(
                "Embeddings",
                list(titles),
                format_func=lambda name: titles.get(name, name),
                label_visibility="collapsed",
                key=key,
                help="By which the photos are compared",
                on_change=session.widget_callback(key, _choose),
                width=280,
            )
        if scope.selection.view.find == "map":
            map_section.choices(scope)


def _choose(name: str) -> None:
    session.update_from_first_page(embeddings=name)
