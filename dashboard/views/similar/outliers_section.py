"""The most unusual photos: those that are farthest from the photos nearest to them."""

import streamlit as st

from dashboard.formatting import photo_count
from dashboard.queries.similarity import kept
from dashboard.views.shared import controls
from dashboard.views.similar import computing
from dashboard.views.similar.found_gallery import found_gallery
from dashboard.views.similar.scope import SimilarScope
from dashboard.workers.similarity import OUTLIERS
from seglib.similarity.outliers import NEIGHBOURS


def render(scope: SimilarScope) -> None:
    found = kept.find_outliers(scope.query, scope.vectors)
    if found is None:
        computing.render(scope, OUTLIERS)
        return
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        st.markdown(
            f"**{photo_count(len(found.positions))}, the most unusual first**",
            help=f"Distance: 1 minus the mean cosine similarity to the {NEIGHBOURS} most similar photos of this run",
            width="stretch",
        )
        controls.colours_select()
    if len(found.positions):
        found_gallery(scope, found.positions, [f"distance {value:.3f}" for value in found.values])
