"""The folders of photos that visitors may analyse: those that the server was started with, the ones remembered in the
store, photos that were uploaded, and no others.

Each `Folder` has an id that does not reveal its path. Pages show the title and jobs store the id; workers resolve the
id to a path here. Also writes uploads that a visitor of Try wants to keep.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dashboard.offers import remembered_folders, uploaded_photos
from dashboard.settings import SAMPLE, ServerSettings
from seglib.data import scan
from seglib.data.image import compute_image_id
from seglib.errors import SegError, UsageError
from seglib.fileio.atomic import replace_file

UPLOADS = "uploads"
"""Subfolder of the first folder of photos for uploads that a visitor wants to keep."""

MAX_SAVED_UPLOADS = 5000


@dataclass(frozen=True)
class Folder:
    id: str
    """First 8 hex digits of the SHA-256 of the resolved path."""
    title: str
    path: Path


def find_roots(settings: ServerSettings) -> tuple[Path, ...]:
    """Return the folders that are offered with what is below them: the named ones first, those remembered by this
    machine, uploaded photos, and if none is named, the subfolders of the default folder without the sample.
    """
    if settings.folders_named:
        return find_mask_roots(settings)
    default = [folder for root in settings.photo_folders for folder in _list_subfolders(root)]
    return tuple(dict.fromkeys((*_own_roots(settings), *default)))


def find_mask_roots(settings: ServerSettings) -> tuple[Path, ...]:
    """Return the folders below which masks are looked for."""
    return tuple(dict.fromkeys((*settings.photo_folders, *_own_roots(settings))))


def _own_roots(settings: ServerSettings) -> list[Path]:
    return [*remembered_folders.find(settings), *uploaded_photos.find_folders(settings.store)]


def _list_subfolders(folder: Path) -> list[Path]:
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_symlink()]
    except OSError:
        return []
    return sorted(path for path in inside if path.is_dir() and path.resolve() != SAMPLE)


def find_folders(roots: Sequence[Path]) -> list[Folder]:
    """Return the folders that hold photos, each once: each of `roots`, then what is below it."""
    by_id: dict[str, Folder] = {}
    for root in roots:
        for name in sorted(scan.find_image_folders(root), key=lambda name: (name != "", name)):
            folder = describe_path(root, name)
            by_id.setdefault(folder.id, folder)
    return _with_unique_titles(list(by_id.values()))


def _with_unique_titles(folders: list[Folder]) -> list[Folder]:
    """Name the folder above where two titles are equal, and the id where that is not enough."""
    more: tuple[Callable[[Folder], str], ...] = (lambda folder: folder.path.parent.name, lambda folder: folder.id)
    for describe in more:
        number = Counter(folder.title for folder in folders)
        folders = [
            replace(folder, title=f"{folder.title} ({describe(folder)})") if number[folder.title] > 1 else folder
            for folder in folders
        ]
    return folders


def get_folder(roots: Sequence[Path], folder_id: str) -> Folder:
    """Return the offered folder with this id. Raises `UsageError` if there is none."""
    for folder in find_folders(roots):
        if folder.id == folder_id:
            return folder
    raise UsageError("This folder is not, or no longer, among those that this dashboard offers.")


def find_skipped_links(roots: Iterable[Path]) -> list[str]:
    """Return the names of links to folders directly in `roots`: a link is followed only where it is itself named."""
    names = []
    for root in roots:
        try:
            with os.scandir(root) as entries:
                names += sorted(
                    f"{root.name}/{entry.name}" for entry in entries if entry.is_symlink() and entry.is_dir()
                )
        except OSError:
            continue
    return names


def uploads_folder(data: Sequence[Path]) -> Folder:
    """Return the folder for uploads, whether or not it exists."""
    return describe_path(data[0], UPLOADS)


def save_upload(data: Sequence[Path], name: str, content: bytes) -> None:
    """Write an uploaded photo to `uploads_folder`; the same content under the same name is stored only once.

    The name comes from a browser, so only letters, digits, dots, dashes and spaces are kept. Raises `UsageError` if the
    folder is a symlink or full, `SegError` if it cannot be written.
    """
    folder = data[0] / UPLOADS
    if folder.is_symlink():
        raise UsageError(f"{UPLOADS} is a link, and photos are kept only in a folder of its own: remove the link.")
    stem, _, suffix = name.rpartition(".")
    suffix = f".{suffix.lower()}" if f".{suffix.lower()}" in scan.IMAGE_SUFFIXES else ".jpg"
    plain = re.sub(r"[^\w .-]+", "_", stem or "photo").strip(" .")[:60] or "photo"
    file = folder / f"{plain}-{compute_image_id(content)[:8]}{suffix}"
    try:
        folder.mkdir(exist_ok=True)
        if sum(1 for _ in folder.iterdir()) >= MAX_SAVED_UPLOADS:
            raise UsageError(
                f"{data[0].name}/{UPLOADS} already holds {MAX_SAVED_UPLOADS:,} photos: move some away first."
            )
        replace_file(file, content)
    except OSError as error:
        raise SegError(f"{data[0].name}/{UPLOADS} cannot be written ({error.strerror}).") from None


def display_name(name: str) -> str:
    """Return a file's name as valid text; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def describe_path(root: Path, name: str) -> Folder:
    """Return the folder, or file, of this name below an offered folder."""
    path = (root / name).resolve()
    root_name = display_name(root.name or str(root))
    title = f"{root_name}/{name}" if name else root_name
    return Folder(hashlib.sha256(os.fsencode(path)).hexdigest()[:8], title, path)
