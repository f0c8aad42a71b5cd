"""The map of a run's photos: where each stands, which are shown, and those in a lasso."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Positions
from dashboard.queries.similarity.colours import ColourScale, colour_codes, value_texts
from dashboard.queries.similarity.lasso import Lasso
from dashboard.queries.similarity.vectors import HASHES_WITH_VECTORS, VectorSet, rows_of
from dashboard.queries.source import HASHES, PhotoQuery, RunSource, photo_query
from dashboard.server import media_urls
from dashboard.server.maps.published import compute_key, publish_bytes, publish_table
from seglib.query.export import csv_text
from seglib.query.filters import Filters
from seglib.similarity.projection import Method, find_projection, project
from seglib.store.store import Store

_UNITS = 65535
_MARGIN = 64
"""Units at each side of the map without a point, so that a lasso can go around all of them."""
_CSV_ROWS = 1 << 16
_BYTE_ORDER_MARK = "\ufeff"
"""Begins the file, for spreadsheets."""

HIDDEN = 0
"""Code of a point that the filters leave out; `map_points.js` has the same."""


@dataclass(frozen=True)
class MapPoints:
    """The photos of a run that have a vector, as points."""

    positions: Positions
    """(N,) in the run's table."""
    places: NDArray[np.uint16]
    """(N, 2): x to the right, y downwards."""
    id: str
    """8 hex digits that identify the places, and name the map in a lasso."""


@dataclass(frozen=True)
class PublishedMap:
    """What the browser needs to draw a map."""

    points: str
    """URL of the places."""
    codes: str
    """URL of one code per point: 0 hidden, 1 without a value, from 2 on the colours of the scale."""
    details: str
    """URL, without an ending, of what is known of the points."""
    scale: ColourScale
    counts: NDArray[np.intp]
    """(256,): shown points per code."""

    @property
    def shown(self) -> int:
        return int(self.counts[HIDDEN + 1 :].sum())


# --- where the photos stand --------------------------------------------------------------------------------------


def map_points(source: RunSource, vectors: VectorSet, method: str) -> MapPoints | None:
    """Return the points; None if a job has to compute this projection first, as it must all but PCA."""
    folder = Store(vectors.path).projections_folder(vectors.source)
    kept = tuple(sorted(path.name for path in folder.glob(f"{vectors.kind}-{method}-*.npy")))
    return _map_points(source.without_tags(), vectors, cast(Method, method), kept)


@st.cache_resource(max_entries=3, show_spinner="Drawing the map", hash_funcs=HASHES_WITH_VECTORS)
def _map_points(source: RunSource, vectors: VectorSet, method: Method, kept: tuple[str, ...]) -> MapPoints | None:
    """`kept`: names of the projections in the store."""
    if not kept and method != "pca":
        return None
    embeddings = vectors.embeddings()
    flat = find_projection(Store(vectors.path), embeddings, method)
    if flat is None and method != "pca":
        return None
    if flat is None:  # not written to the store, which may be read-only, since it takes a moment
        flat = project(embeddings.vectors, "pca")
    rows = rows_of(source, vectors)
    positions = np.flatnonzero(rows >= 0).astype(np.int32)
    places = to_units(flat[rows[positions]])
    return MapPoints(positions, places, compute_key(places.tobytes())[:8])


def to_units(flat: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(N, 2) -> uint16 (N, 2): the longer side of the map spans nearly 0..65535, the other is centred; y downwards."""
    if not len(flat):
        return np.zeros((0, 2), np.uint16)
    wide = np.asarray(flat, np.float64) * (1, -1)
    low, high = wide.min(axis=0), wide.max(axis=0)
    side = float((high - low).max())
    units: NDArray[np.float64] = (wide - (low + high) / 2) / (side or 1) * (_UNITS - 2 * _MARGIN) + _UNITS / 2
    return np.asarray(np.rint(units).clip(0, _UNITS), np.uint16)


# --- what is sent to the browser ---------------------------------------------------------------------------------


def publish_map(source: RunSource, filters: Filters, points: MapPoints, field: str) -> PublishedMap:
    """Publish the map of the selected photos, coloured by a field. Raises `UnknownName` for a field that is none."""
    scale, codes = _shown_codes(photo_query(source, filters), _for_field(source, field), points, field)
    key = compute_key(source.path, source.version, source.run, points.id, field)
    return PublishedMap(
        publish_bytes(points.places.tobytes()),
        publish_bytes(codes.tobytes()),
        publish_table(key, _PhotoTable(source, points, field)),
        scale,
        np.bincount(codes, minlength=256),
    )


_HASHES = HASHES | {MapPoints: lambda points: points.id}


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=_HASHES)
def _shown_codes(
    query: PhotoQuery, source: RunSource, points: MapPoints, field: str
) -> tuple[ColourScale, NDArray[np.uint8]]:
    """The code of each point. `source`: that of the field's values, which may change without those of the query."""
    scale, of_photos = colour_codes(source, field)
    shown = np.zeros(len(of_photos), bool)
    shown[photo_queries.counted_positions(query.source, query.filters)] = True
    return scale, np.where(shown, of_photos, HIDDEN).astype(np.uint8)[points.positions]


def _for_field(source: RunSource, field: str) -> RunSource:
    return source if field == "tag" else source.without_tags()


@dataclass(frozen=True)
class _PhotoTable:
    """What the routes say of the points of a map."""

    source: RunSource
    points: MapPoints
    field: str

    def __len__(self) -> int:
        return len(self.points.positions)

    def describe(self, number: int) -> dict[str, Any]:
        row = self._rows(slice(number, number + 1))
        first = row.iloc[0]
        return {
            "id": first["image_id"],
            "name": first["path"],
            "value": value_texts(row, self.field)[0],
            "photo": media_urls.thumbnail_url(self.source.store(), first["image_id"]),
            "aspect": float(first["width"] / first["height"]),
        }

    def csv(self) -> Iterator[bytes]:
        for start in range(0, max(1, len(self)), _CSV_ROWS):
            some = slice(start, start + _CSV_ROWS)
            rows, places = self._rows(some), self.points.places[some] / _UNITS
            text = csv_text(
                {
                    **{name: rows[name].astype("str").tolist() for name in ("dataset", "path", "image_id")},
                    "x": places[:, 0].round(5).tolist(),
                    "y": places[:, 1].round(5).tolist(),
                    self.field: value_texts(rows, self.field),
                }
            )
            text = text.removeprefix(_BYTE_ORDER_MARK)
            yield (_BYTE_ORDER_MARK + text if start == 0 else text.partition("\n")[2]).encode()

    def _rows(self, some: slice) -> pd.DataFrame:
        return photo_queries.rows_at(self.source, self.points.positions[some])


# --- the lasso ---------------------------------------------------------------------------------------------------


def positions_in_lasso(query: PhotoQuery, sort: str, focus: str, lasso: str, points: MapPoints) -> Positions:
    """Return the sorted positions of the selected photos that are on the map and, unless it is empty, in the lasso.

    `lasso`: as in the URL; drawn on this map. `focus`: the class that some orders go by.
    """
    return _in_lasso(query, sort, focus, lasso, points)


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=_HASHES)
def _in_lasso(query: PhotoQuery, sort: str, focus: str, lasso: str, points: MapPoints) -> Positions:
    source, filters = query.source, query.filters
    chosen = np.zeros(len(photo_queries.table(source)), bool)
    inside = Lasso.parse(lasso).contains(points.places) if lasso else slice(None)
    chosen[points.positions[inside]] = True
    counted = np.zeros_like(chosen)
    counted[photo_queries.counted_positions(source, filters)] = True
    order = photo_queries.sorted_positions(source, filters, sort, focus)
    return order[(chosen & counted)[order]]
