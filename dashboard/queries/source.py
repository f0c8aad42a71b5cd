"""Which store, run and photo folders a page reads from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import formatting
from dashboard.formatting import for_page
from dashboard.workers import photo_folders
from dashboard.workers.photo_folders import Folder
from seglib.data.scan import STORE_MARKER, scan
from seglib.errors import DatasetError, SegError, StoreError
from seglib.query.filters import Filters
from seglib.store import tags
from seglib.store.records import Run
from seglib.store.store import Store

NO_STORE = (
    "There is no store yet, so there is nothing to show: start the dashboard with python -m dashboard, "
    "or make a store with python -m seglib run."
)


@dataclass(frozen=True)
class Source:
    """One run in one state of one store: texts only, since they key the caches."""

    path: str
    version: str
    """Of the store without its tags, a dash, and of its tags, which change far more often."""
    run: str

    def store(self) -> Store:
        return Store(self.path)

    def untagged(self) -> "Source":
        """The same as long as nothing but tags changes: the key of all that does not look at them."""
        return replace(self, version=self.version.partition("-")[0])

    def regarding(self, filters: Filters) -> "Source":
        """The source as far as these filters look at it."""
        return self if "tag" in filters else self.untagged()


HASHES: dict[str | type, Callable[[Any], Any]] = {
    Source: lambda source: (source.path, source.version, source.run),
    Filters: lambda filters: filters.encode(),
}
"""What the caches know of an argument."""


def stored(path: Path) -> tuple[Store, str, list[Run]]:
    """The store, its present version and its runs, the one used last at the end. Raises `StoreError`."""
    if not (path / STORE_MARKER).is_file():
        raise StoreError(NO_STORE)
    store = Store(path)
    return store, f"{store.version(with_tags=False)}-{tags.version(store)}", store.runs()


def unreadable_runs(store: Store) -> list[str]:
    """A sentence for each run that no page can show."""
    return [for_page(why) for why in store.damaged_runs().values()]


@st.cache_data(ttl=10, max_entries=4, show_spinner=False)
def offered(roots: tuple[Path, ...]) -> list[Folder]:
    """The folders of photos that may be analysed."""
    return photo_folders.offered(roots)


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def mask_folders(roots: tuple[Path, ...]) -> list[Folder]:
    """The offered folders that may hold masks."""
    return [folder for folder in offered(roots) if photo_folders.holds_masks(folder)]


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def photos_in(folder: Path) -> int:
    """Files that look like photos, in it and below."""
    try:
        return len(scan(folder))
    except DatasetError:  # its last photo has just gone
        return 0


run_labels = formatting.run_labels


def sentence(error: SegError) -> str:
    """The error for a page: of a place on this machine only the last name is told."""
    return for_page(str(error))
