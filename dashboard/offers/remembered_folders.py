"""The folders of photos that a visitor on this machine has added, in `<store>/folders.json`.

They count only while no other machine can reach the server (`ServerSettings.local_only`); a path of this list is never
offered to others. A damaged list is an error message and an empty list, and the next folder rewrites it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from dashboard.settings import ServerSettings
from seglib.data import scan
from seglib.errors import SegError, UsageError
from seglib.fileio import json_record
from seglib.fileio.atomic import replace_file
from seglib.store.store import Store

FILE_NAME = "folders.json"
MAX_FOLDERS = 50
"""The folders that were added first are forgotten."""

_REMEDY = "add the folder again, which rewrites it"
_lock = Lock()


def find(settings: ServerSettings) -> tuple[Path, ...]:
    """Return the remembered folders, the last one added first; empty if the list is damaged or does not count."""
    if not settings.local_only:
        return ()
    try:
        return _read(settings.store)
    except SegError:
        return ()


def find_problem(settings: ServerSettings) -> str:
    """Return why the list cannot be read; empty if it can, or does not count."""
    try:
        if settings.local_only:
            _read(settings.store)
    except SegError as error:
        return str(error)
    return ""


def add(settings: ServerSettings, folder: Path) -> Path:
    """Remember the folder that a visitor has chosen, and return its path with all links resolved.

    Raises `UsageError` if other machines can reach the server or there are no photos in the folder, `SegError` if the
    store cannot be written.
    """
    _check_local(settings)
    folder = _open_folder(folder)
    if not scan.find_image_folders(folder, depth=0):
        raise UsageError(f"There are no photos in {folder.name or folder} and its subfolders.")
    with _lock:
        others = [path for path in find(settings) if path != folder]
        _write(settings.store, [folder, *others][:MAX_FOLDERS])
    return folder


def forget(settings: ServerSettings, folder: Path) -> None:
    """Remove a folder from the list; the folder itself and what was computed from it stay."""
    _check_local(settings)
    with _lock:
        _write(settings.store, [path for path in find(settings) if path != folder])


def parse_folder(text: str) -> Path:
    """Return the folder that a typed path names, with all links resolved. Raises `UsageError` if there is none."""
    try:
        path = Path(text.strip().strip("\"'")).expanduser()
    except (RuntimeError, ValueError):
        raise UsageError("This path names a user who is not known here.") from None
    if not path.is_absolute():
        raise UsageError("Type the whole path of the folder, such as ~/Pictures/class.")
    return _open_folder(path)


def _open_folder(folder: Path) -> Path:
    try:
        path = folder.resolve()
        if not path.is_dir():
            raise UsageError(f"There is no folder {path.name!r} at this place.")
        with os.scandir(path):
            return path
    except PermissionError:
        raise UsageError(f"The folder {folder.name!r} may not be opened: check its permissions.") from None
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, a zero byte
        raise UsageError("This path names no folder.") from None


def _check_local(settings: ServerSettings) -> None:
    if not settings.local_only:
        raise UsageError("Folders can be added only while no other machine can reach the dashboard.")


def _read(store: Path) -> tuple[Path, ...]:
    file = store / FILE_NAME
    if not file.exists():
        return ()
    paths = json_record.read(file, _REMEDY).get("folders")
    if not isinstance(paths, list) or not all(_is_path(path) for path in paths):
        raise json_record.damaged_error(file, _REMEDY)
    return tuple(map(Path, paths))


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and Path(value).is_absolute()


def _write(store: Path, folders: Sequence[Path]) -> None:
    record = json_record.encode({"folders": [str(folder) for folder in folders]})
    file = Store.create(store).path / FILE_NAME
    try:
        replace_file(file, record)
    except OSError as error:
        raise SegError(f"The store cannot be written ({error.strerror}), so the folder is not remembered.") from None
