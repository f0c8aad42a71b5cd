"""A photo of the visitor whose look-alikes are looked for: its embedding is computed by the run's own model.

The photo stays in memory during the visit, and is neither stored nor named in the link.
"""

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import layout
from dashboard.views.similar.scope import SimilarScope
from dashboard.workers import uploads
from dashboard.workers.predictor import predictor
from dashboard.workers.uploads import MAX_PHOTO_BYTES
from seglib.data.scan import IMAGE_SUFFIXES
from seglib.errors import BadImage, SegError

_FILE, _KNOWN = "w:similar_upload", "_similar_upload"


@dataclass(frozen=True)
class UploadedQuery:
    name: str
    vector: NDArray[np.float32]
    picture: bytes
    """A small JPEG."""


def render(scope: SimilarScope) -> UploadedQuery | None:
    """Draw the uploader, and return the photo in it, if there is one. Raises `SegError`."""
    with st.expander("Search with a photo of yours", expanded=_FILE in st.session_state and _has_file()):
        if not scope.chosen.is_of_run:
            layout.remark("Choose the embeddings of a run: only the model that made them can look at another photo.")
            return None
        file = st.file_uploader(
            f"A photo of up to {MAX_PHOTO_BYTES // 1_000_000} MB; it is not stored",
            type=sorted(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES),
            key=_FILE,
            max_upload_size=MAX_PHOTO_BYTES // 1_000_000,
        )
    if file is None:
        return None
    photos, notes = uploads.accept_files([(file.name, file.getvalue())])
    if not photos:
        raise SegError(notes[0])
    return _embed(scope, photos[0])


def _has_file() -> bool:
    return st.session_state[_FILE] is not None


def _embed(scope: SimilarScope, photo: uploads.Upload) -> UploadedQuery:
    """Compute the embedding, once per photo and vectors of this visit."""
    key = (photo.id, scope.vectors.path, scope.vectors.name)
    known_key, known = st.session_state.get(_KNOWN, (None, None))
    if known_key == key and isinstance(known, UploadedQuery):
        return known
    store = scope.selection.store
    with st.spinner("Looking at the photo"):
        try:
            vector, picture = predictor.embed(
                photo.data, store.path, store.run(scope.chosen.is_of_run), scope.vectors.kind
            )
        except BadImage as error:
            raise SegError(f"{photo.name} cannot be read: {error.detail}") from None
    found = UploadedQuery(photo.name, vector, picture)
    st.session_state[_KNOWN] = (key, found)
    return found
