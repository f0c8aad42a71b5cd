"""What is known of the photos that a visitor has picked."""

import numpy as np
import pandas as pd

from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Positions
from dashboard.queries.prepared.tables import prepared_table
from dashboard.queries.source import RunSource
from dashboard.state.picked_photos import Picks
from seglib.query import columns
from seglib.query.filters import Filters
from seglib.store import tags


def picked_positions(source: RunSource, picks: Picks) -> Positions:
    """Return the positions in the run's table of the picked photos' files, in table order."""
    if prepared := prepared_table(source):
        return prepared.rows_of_images(picks.ids)
    return np.flatnonzero(picks.contains(photo_queries.table(source)["image_id"])).astype(np.int32)


def tags_of_picks(source: RunSource, picks: Picks) -> dict[str, int]:
    """Return tag -> number of picked photos that have it."""
    tagged = photo_queries.tags_of_images(source)
    counts = columns.count_tags(tags.align_tags(tagged, pd.Series(picks.ids, dtype="str")))
    return {name: n for name, n in counts.items() if name}


def count_picked(source: RunSource, filters: Filters, picks: Picks) -> int:
    """Return the number of picked photos that pass the filters."""
    if prepared := prepared_table(source):
        return len(prepared.rows_of_images(picks.ids, filters))
    chosen = photo_queries.selected_positions(source, filters)
    return int(picks.contains(photo_queries.table(source)["image_id"])[chosen].sum())
