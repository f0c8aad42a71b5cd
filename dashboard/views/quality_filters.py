"""Buttons for photos of doubtful quality, which set ordinary filters of measures."""

from functools import partial

import streamlit as st

from dashboard.queries.own_chart import charts
from dashboard.queries.source import RunSource
from dashboard.state import session
from seglib.query.filters import Filters
from seglib.query.ready_filters import ready_filter


def render(source: RunSource) -> None:
    """Draw one button per ready filter that any photo passes or that is active; several must all match."""
    photos_of = charts.ready_filters(source)
    chosen = [name for name in photos_of if _is_active(name)]
    offered = [name for name, photos in photos_of.items() if photos or name in chosen]
    if not offered:
        return
    key = session.sync_widget("w:quality", chosen)
    st.pills(
        "Image quality",
        offered,
        selection_mode="multi",
        key=key,
        help="By the photos' brightness, sharpness and entropy; the limits are those of the filters that a click sets",
        on_change=session.widget_callback(key, partial(_apply, list(photos_of))),
    )


def _is_active(name: str) -> bool:
    filters = session.view().filters
    return all(filters.get(key) == value for key, value in ready_filter(name).items())


def _apply(names: list[str], chosen: list[str]) -> None:
    """Set the chosen ready filters, and remove those that are active and no longer chosen."""
    filters = dict(session.view().filters)
    for name in names:
        if name in chosen:
            filters |= ready_filter(name)
        elif _is_active(name):
            for key in ready_filter(name):
                del filters[key]
    session.set_filters(Filters(filters))
