"""The statistics of one image in a run, computed from its mask."""

import numpy as np
import streamlit as st

from dashboard.queries.source import HASHES, RunSource, error_message
from seglib.errors import StoreError
from seglib.masks import statistics
from seglib.masks.statistics import CONFIDENCE_COLUMNS


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=HASHES)
def image_statistics(source: RunSource, image_id: str) -> dict[str, object] | None:
    """Return the run's statistics for one image, like `statistics.stats_row`; None if it has no mask of it.

    Computed from the mask, which avoids loading the whole table of another run. `damage` explains why
    measures cannot be read.
    """
    store = source.store()
    run = store.run(source.run)
    try:
        mask = store.mask(run.run, image_id)
    except StoreError:
        return None
    try:
        measured = store.confidence_stats(run, [image_id])[[*CONFIDENCE_COLUMNS]].astype("float64").to_numpy()
    except StoreError as error:  # a damaged part makes the measures unavailable, not the mask
        return statistics.stats_row(mask, run.classes, None) | {"damage": error_message(error)}
    has_confidence = len(measured) > 0 and not np.isnan(measured).any()
    return statistics.stats_row(
        mask, run.classes, statistics.ConfidenceStats(*measured[0].tolist()) if has_confidence else None
    )
