"""Save, list, rename and delete views: a name for what a link to a page holds.

A record lies in a folder named after a digest of its view's name in lower case, so that a name stands for one view.
Changes hold the store's lock for a moment; reading needs none.
"""

import hashlib
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from seglib.errors import DamagedFileError, UnknownName, UsageError
from seglib.fileio import json_record
from seglib.fileio.lock import RegisteredWriter, lock
from seglib.store.records import JOINERS, find_damaged_records, utc_now

MAX_NAME_LENGTH = 60
MAX_DESCRIPTION_LENGTH = 300
MAX_QUERY_LENGTH = 50_000
MAX_VIEWS = 500
"""Views of a store: each of them is read whenever they are listed."""

_REMEDY = "restore it from a copy, or delete it; the view is lost then"
_LOCK_WAIT_SECONDS = 5


class ViewStore(Protocol):
    """The attributes of a store that saving views needs."""

    path: Path
    atomic: RegisteredWriter

    def view_record(self, view_id: str) -> Path: ...

    def view_records(self) -> list[Path]: ...


@dataclass(frozen=True, kw_only=True)
class SavedView:
    name: str
    description: str = ""
    page: str = ""
    """Title of the page that it opens, such as `Explore`; empty for the first one."""
    query: str
    """Query of that page's URL: `label=cats&share.cat=0.1..1&run=...`."""
    saved: str = ""
    """When it was saved, in UTC and ISO 8601."""


def normalise_name(text: str) -> str:
    """Normalise a view's name (NFC, single spaces). Raises `UsageError` if it is not a valid one."""
    return _normalise(text, "name of a view", 1, MAX_NAME_LENGTH)


def list_views(store: ViewStore) -> list[SavedView]:
    """The views that can be read, sorted by name; see `find_damaged`."""
    views = []
    for file in store.view_records():
        try:
            views.append(_read(file))
        except DamagedFileError:
            continue
    return sorted(views, key=lambda view: (view.name.casefold(), view.name))


def find_view(store: ViewStore, name: str) -> SavedView:
    """The view of this name, in any case. Raises `UnknownName`."""
    file = _file(store, normalise_name(name))
    if not file.exists():
        raise UnknownName("view", name, [view.name for view in list_views(store)])
    return _read(file)


def save_view(store: ViewStore, view: SavedView, *, replace_existing: bool = False) -> SavedView:
    """Save a view, with its name normalised and the time.

    Raises `UsageError` if there is a view of this name, unless it is to be replaced, or if a text is too long.
    """
    checked = replace(
        view,
        name=normalise_name(view.name),
        description=_normalise(view.description, "description of a view", 0, MAX_DESCRIPTION_LENGTH),
        saved=utc_now(),
    )
    if len(view.query) > MAX_QUERY_LENGTH:
        raise UsageError(f"A view has at most {MAX_QUERY_LENGTH:,} characters: choose fewer names in its filters.")
    with lock(store.path, wait_seconds=_LOCK_WAIT_SECONDS):
        _write(store, checked, replace_existing=replace_existing)
    return checked


def rename_view(store: ViewStore, name: str, new_name: str, description: str | None = None) -> SavedView:
    """Give a view another name and, unless it is None, another description; returns the view as it is now.

    Raises `UnknownName`, or `UsageError` if another view has the new name.
    """
    with lock(store.path, wait_seconds=_LOCK_WAIT_SECONDS):
        before = find_view(store, name)
        text = before.description if description is None else description
        after = replace(
            before,
            name=normalise_name(new_name),
            description=_normalise(text, "description of a view", 0, MAX_DESCRIPTION_LENGTH),
        )
        is_same_file = _file(store, after.name) == _file(store, before.name)
        _write(store, after, replace_existing=is_same_file)
        if not is_same_file:
            store.atomic.discard(_file(store, before.name).parent)
    return after


def delete_view(store: ViewStore, name: str) -> SavedView:
    """Delete a view and return it, so that it can be saved again. Raises `UnknownName`."""
    with lock(store.path, wait_seconds=_LOCK_WAIT_SECONDS):
        view = find_view(store, name)
        store.atomic.discard(_file(store, view.name).parent)
    return view


def find_damaged(store: ViewStore) -> dict[str, str]:
    """Map id of a record -> error message for each view that cannot be read."""
    return find_damaged_records(store.view_records(), _read)


def _file(store: ViewStore, name: str) -> Path:
    return store.view_record(hashlib.sha256(name.casefold().encode()).hexdigest()[:16])


def _write(store: ViewStore, view: SavedView, *, replace_existing: bool) -> None:
    file = _file(store, view.name)
    if file.exists() and not replace_existing:
        raise UsageError(
            f"There is a view {view.name!r} already: choose another name, or say that it is to be replaced."
        )
    if not file.exists() and len(store.view_records()) >= MAX_VIEWS:
        raise UsageError(f"A store holds at most {MAX_VIEWS} views: delete one first.")
    store.atomic.write(file, json_record.encode(asdict(view)), durable=True)


def _read(file: Path) -> SavedView:
    record = json_record.read(file, _REMEDY)
    if not all(isinstance(text, str) for text in record.values()):
        raise json_record.damaged_error(file, _REMEDY)
    try:
        return SavedView(**record)
    except TypeError:
        raise json_record.damaged_error(file, _REMEDY) from None


def _normalise(text: str, what: str, shortest: int, longest: int) -> str:
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not shortest <= len(name) <= longest:
        raise UsageError(f"The {what} has {shortest} to {longest} characters; this one has {len(name):,}.")
    if not all(sign.isprintable() or sign in JOINERS for sign in name):
        raise UsageError(f"The {what} has no control characters and no marks that turn the direction of the text.")
    return name
