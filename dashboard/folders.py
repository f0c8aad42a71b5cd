"""The folders of photos that a visitor may have analysed: those below `--data`, and no others.

In: the folders that the launcher named. Out: `Folder`s with an id that says nothing of the place; a page shows their
titles, a job keeps the id, and whoever works looks the place up again here. Knows nothing of stores or pages.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib import dataset
from seglib.errors import UsageError

UPLOADS = "uploads"
"""Below the first of the folders: where photos go that a visitor wants to keep."""


@dataclass(frozen=True)
class Folder:
    id: str
    """8 hex digits of the resolved path, as the store names data sets."""
    title: str
    path: Path


def offered(data: Sequence[Path]) -> list[Folder]:
    """Folders that hold photos, the children of the named ones first; each once."""
    found: dict[str, tuple[int, Folder]] = {}
    for root in data:
        for name in dataset.folders(root):
            folder = _folder(root, name)
            found.setdefault(folder.id, (len(Path(name).parts), folder))
    by_level = sorted(found.values(), key=lambda pair: ((1, 0, 2)[pair[0]], pair[1].title))
    return [folder for _, folder in by_level]


def chosen(data: Sequence[Path], folder_id: str) -> Folder:
    """The offered folder with this id. Raises `UsageError`: what is not offered cannot be had."""
    for folder in offered(data):
        if folder.id == folder_id:
            return folder
    raise UsageError("This folder is not, or no longer, among those that the dashboard was started with (--data).")


def _folder(root: Path, name: str) -> Folder:
    path = (root / name).resolve()
    title = f"{root.name}/{name}" if name else root.name
    return Folder(hashlib.sha256(os.fsencode(path)).hexdigest()[:8], title, path)
