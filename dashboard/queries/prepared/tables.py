"""Which runs are too large to be read into memory, and their prepared tables.

A page asks `prepared_table` first: it returns None for a run that is read into memory, as most are.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import streamlit as st

from dashboard.formatting import count
from dashboard.queries.source import HASHES, RunSource
from dashboard.settings import LARGE_RUN_VARIABLE, large_run
from seglib.errors import StoreError
from seglib.query.prepared.manifest import read_manifest
from seglib.query.prepared.table import PreparedTable, open_table


@dataclass(frozen=True)
class TableState:
    """How far the prepared table of a large run is."""

    made: str = ""
    """When the table that pages show was made, ISO 8601 in UTC; empty if there is none yet."""
    rows: int = 0
    is_current: bool = False
    """Whether it shows the store as it is now."""


def is_large(source: RunSource) -> bool:
    return count_images(source.without_tags()) >= large_run()


@lru_cache(maxsize=64)  # asked too often for a cache of Streamlit
def count_images(source: RunSource) -> int:
    """Return the number of rows of the run's statistics, by the footers of its parts."""
    store = source.store()
    return store.count_rows(store.run(source.run))


def prepared_source(source: RunSource) -> tuple[RunSource, TableState | None]:
    """Return the source that pages are to ask, and the state of its prepared table; None if it is not large.

    A table of an earlier version of the store is shown until a newer one is made, so the source has that version.
    """
    if not is_large(source):
        return source, None
    if find_spec("duckdb") is None:
        raise StoreError(
            f"This run has {count(count_images(source.without_tags()))} photos: pip install '.[large]' in the "
            f"project's folder to see it here, or set {LARGE_RUN_VARIABLE} to a larger number to read it into memory, "
            "which takes about 650 MB for each million photos."
        )
    manifest = read_manifest(source.store(), source.run)
    if manifest is None:
        return source, TableState()
    version, _, tag_version = source.version.partition("-")
    state = TableState(manifest.made, manifest.rows, manifest.version == version)
    return replace(source, version=f"{manifest.version}-{tag_version}"), state


def prepared_table(source: RunSource) -> PreparedTable | None:
    """Return the prepared table of a large run; None for a run that is read into memory."""
    return _prepared_table(source) if is_large(source) else None


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=HASHES)
def _prepared_table(source: RunSource) -> PreparedTable:
    table = open_table(source.store(), source.run)
    if table is None:
        raise StoreError("The table of this run is not prepared yet: open Overview to prepare it.")
    return table


def warm_lookups(source: RunSource) -> None:
    """Look up a photo of a large run, so that the first visitor of Image does not wait while the ids are read."""
    table = prepared_table(source)
    if table is None or not table.rows:
        return
    store, (image_id,) = source.store(), table.rows_at(np.array([0]))["image_id"]
    table.rows_of_image(image_id)
    store.locate_images([image_id])
    store.confidence_stats(store.run(source.run), [image_id])
