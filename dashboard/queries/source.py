"""Select the store, run and photo folders that a page reads from."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.formatting import user_message
from dashboard.offers import folder_browser, models, photo_folders
from dashboard.offers.folder_browser import FolderListing
from dashboard.offers.mask_sources import find_mask_sources
from dashboard.offers.models import ModelOffer
from dashboard.offers.photo_folders import Folder
from dashboard.queries.runs import pending
from dashboard.settings import ServerSettings
from dashboard.workers.background import BackgroundCache
from dashboard.workers.predictor import BUSY, describer
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError, StoreError
from seglib.maintenance import datasets
from seglib.maintenance.datasets import DatasetEntry
from seglib.models.registry import MODELS
from seglib.query.filters import Filters
from seglib.store import tags
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Run
from seglib.store.store import Store

_DESCRIBE_WAIT_SECONDS = 0.2
"""How long a page waits for the descriptions of all models that are not known yet."""

NO_STORE = "There is no store yet: the first run creates it."


@dataclass(frozen=True)
class RunSource:
    """One run in one version of one store; strings only, since they key the caches."""

    path: str
    version: str
    """Version of the store without tags, a dash, then the version of its tags, which change far more often."""
    run: str

    def store(self) -> Store:
        return Store(self.path)

    def without_tags(self) -> "RunSource":
        """Return the source without its tag version: the cache key for queries that do not use tags."""
        return replace(self, version=self.version.partition("-")[0])

    def for_filters(self, filters: Filters) -> "RunSource":
        """Return the source reduced to what these filters depend on."""
        return self if filters.uses_tags else self.without_tags()


@dataclass(frozen=True)
class PhotoQuery:
    """The photos of a run that pass the filters; made by `photo_query`."""

    source: RunSource
    filters: Filters


def photo_query(source: RunSource, filters: Filters) -> PhotoQuery:
    return PhotoQuery(source.for_filters(filters), filters)


HASHES: dict[str | type, Callable[[Any], Any]] = {
    RunSource: lambda source: f"{source.path}\0{source.version}\0{source.run}",
    Filters: lambda filters: filters.encode(),
    PhotoQuery: lambda query: f"{HASHES[RunSource](query.source)}\0{query.filters.encode()}",
}
"""Argument type -> hash function used by the caches; a single text is hashed in a fifth of a tuple's time."""


def open_store(path: Path) -> tuple[Store, str, list[Run]]:
    """Return the store, its current version and its runs, the most recently used last. Raises `StoreError`."""
    if not (path / STORE_MARKER).is_file():
        raise StoreError(NO_STORE)
    store = Store(path)
    return store, f"{store.version(with_tags=False)}-{tags.log_version(store)}", store.runs()


def unreadable_runs(store: Store) -> list[str]:
    """Return a sentence for each run that cannot be read."""
    return [user_message(why) for why in store.damaged_runs().values()]


def damaged_measures(source: RunSource) -> list[str]:
    """Return a sentence for each damaged part of the photos' measures, because of which none are shown."""
    return _damaged_measures(replace(source.without_tags(), run=""))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _damaged_measures(source: RunSource) -> list[str]:
    found = photo_measures.find_damaged(source.store()).values()
    return [f"The measures of the photos are left out: {user_message(why)}" for why in found]


@st.cache_data(ttl=60, max_entries=8, show_spinner=False)
def offered_folders(roots: tuple[Path, ...]) -> list[Folder]:
    """Return the photo folders that may be analysed, as they were at most a minute ago; see `look_again`."""
    return photo_folders.find_folders(roots)


@st.cache_data(ttl=60, max_entries=8, show_spinner=False)
def skipped_links(roots: tuple[Path, ...]) -> list[str]:
    """Return the names of links to folders directly in these folders, which are not followed."""
    return photo_folders.find_skipped_links(roots)


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def list_folder(path: Path) -> FolderListing:
    """Return the subfolders of a folder of this machine with their numbers of images."""
    return folder_browser.list_folder(path)


def look_again() -> None:
    """Forget what the folders held; usable as a callback."""
    offered_folders.clear()
    skipped_links.clear()
    list_folder.clear()
    pending.clear()
    mask_sources.clear()


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model that a page offers, as far as it is known without loading it."""

    offer: ModelOffer
    name: str = ""
    """The model's name in runs."""
    classes: tuple[str, ...] = ()
    resize: str = ""
    """The usual size of its masks."""
    problem: str = ""
    """Why it cannot be used; empty if it can."""
    pending: bool = False
    """True while it is being looked at: only its offer is known."""

    @property
    def id(self) -> str:
        return self.offer.id

    @property
    def title(self) -> str:
        return self.offer.title


_descriptions: BackgroundCache[ModelChoice] = BackgroundCache(256)


def model_choices(settings: ServerSettings) -> list[ModelChoice]:
    """Return every model that the operator offers; those that are not known yet are looked at in the background."""
    deadline = time.monotonic() + _DESCRIBE_WAIT_SECONDS
    return [_model_choice(offer, deadline) for offer in models.find_models(settings)]


def _model_choice(offer: ModelOffer, deadline: float) -> ModelChoice:
    if spec := MODELS.get(offer.id):
        return ModelChoice(offer=offer, name=spec.name, classes=spec.classes, resize=spec.resize.text)
    if offer.problem:
        return ModelChoice(offer=offer, problem=user_message(offer.problem))
    try:
        found = _descriptions.get(
            (repr(offer), models.fingerprint(offer)),
            lambda: _describe(offer),
            lambda _: True,
            wait_seconds=max(0.0, deadline - time.monotonic()),
        )
    except SegError as error:  # it may be found the next time
        return ModelChoice(offer=offer, problem=error_message(error))
    return found or ModelChoice(offer=offer, pending=True)


def _describe(offer: ModelOffer) -> ModelChoice:
    """Return the model as its files are now. Raises `SegError` if that cannot be said at present."""
    try:
        return ModelChoice(offer=offer, **asdict(describer.describe(offer.id)))
    except SegError as error:
        if str(error) == BUSY:
            raise
        more = f" Or write {offer.sidecar} beside it, with what is missing." if "`" in str(error) else ""
        return ModelChoice(offer=offer, problem=error_message(error) + (more if offer.sidecar else ""))


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def mask_sources(roots: tuple[Path, ...]) -> list[Folder]:
    """Return the folders and files that may hold masks."""
    return find_mask_sources(roots)


@st.cache_data(max_entries=4, show_spinner=False)
def dataset_entries(key: tuple[str, str]) -> list[DatasetEntry]:
    """Return the datasets of a store, whose folders may have gone since; `key` is the store's path and version."""
    return datasets.list_datasets(Store(key[0]))


def error_message(error: SegError) -> str:
    """Return the error message for a page, with only the last component of local paths."""
    return user_message(str(error))
