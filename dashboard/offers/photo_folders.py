"""The folders of photos that visitors may analyse: those below `--data`, and no others.

Each `Folder` has an id that does not reveal its path. Pages show the title and jobs store the id; workers resolve the
id to a path here. Also writes uploads that a visitor wants to keep.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.data import scan
from seglib.data.image import compute_image_id
from seglib.errors import SegError, UsageError
from seglib.fileio.atomic import replace_file

UPLOADS = "uploads"
"""Subfolder of the first `--data` folder for uploads that a visitor wants to keep."""

MAX_SAVED_UPLOADS = 5000


@dataclass(frozen=True)
class Folder:
    id: str
    """First 8 hex digits of the SHA-256 of the resolved path."""
    title: str
    path: Path


def find_folders(data: Sequence[Path]) -> list[Folder]:
    """Return the folders that hold photos, each once, the direct children of the `--data` folders first."""
    by_id: dict[str, tuple[int, Folder]] = {}
    for root in data:
        for name in scan.find_image_folders(root):
            folder = describe_path(root, name)
            by_id.setdefault(folder.id, (len(Path(name).parts), folder))
    by_level = sorted(by_id.values(), key=lambda pair: ((1, 0, 2)[pair[0]], pair[1].title))
    return [folder for _, folder in by_level]


def get_folder(data: Sequence[Path], folder_id: str) -> Folder:
    """Return the offered folder with this id. Raises `UsageError` if there is none."""
    for folder in find_folders(data):
        if folder.id == folder_id:
            return folder
    raise UsageError("This folder is not, or no longer, among those that the dashboard was started with (--data).")


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


def describe_path(root: Path, name: str) -> Folder:
    """Return the folder, or file, of this name below a `--data` folder."""
    path = (root / name).resolve()
    title = f"{root.name}/{name}" if name else root.name
    return Folder(hashlib.sha256(os.fsencode(path)).hexdigest()[:8], title, path)
