"""List the subfolders of a folder of this machine with their numbers of images, for choosing one in the page.

Only for a server that no other machine can reach. A visitor who clicks stays within the home folder, or within a folder
whose path was typed.
"""

import itertools
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from seglib.data.scan import IMAGE_SUFFIXES, STORE_MARKER

MAX_SHOWN = 200
"""Maximum number of subfolders in a listing."""

_MAX_ENTRIES = 100_000
"""Directory entries looked at for one listing, shared by its subfolders."""

_MIN_ENTRIES = 500


@dataclass(frozen=True)
class ImageCount:
    images: int
    complete: bool = True
    """False if there may be more images than that."""


@dataclass(frozen=True)
class FolderListing:
    path: Path
    count: ImageCount
    """Images in the folder and below it."""
    folders: tuple[tuple[str, ImageCount], ...] = ()
    """Name and images of each subfolder, sorted; without hidden ones and links."""
    links: int = 0
    """Links to folders, which are not followed."""
    left_out: int = 0
    """Subfolders beyond `MAX_SHOWN`."""
    problem: str = ""
    """Why the folder cannot be listed, without a full stop; empty if it can."""


def find_home() -> Path:
    """Return the user's home folder; the working directory if the system knows none."""
    try:
        home = Path.home().resolve()
    except (RuntimeError, OSError):
        return Path.cwd()
    return home if home.is_dir() else Path.cwd()


def find_limit(path: Path, home: Path) -> Path:
    """Return the folder above which *Up* does not lead from a typed path: home, or the path itself outside of it."""
    return home if path.is_relative_to(home) else path


def describe_local_path(path: Path) -> str:
    """Return a path for display on this machine, as `~/Pictures/class` below the home folder."""
    home = find_home()
    inside = path.is_relative_to(home) and home != Path(home.anchor)
    return os.fsencode(Path("~", path.relative_to(home)) if inside else path).decode("utf-8", "backslashreplace")


def list_folder(path: Path) -> FolderListing:
    """List a folder; one that cannot be opened has a `problem` and no subfolders."""
    names, images, links = [], 0, 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and entry.is_dir():
                    links += 1
                elif entry.is_dir(follow_symlinks=False):
                    names.append(entry.name)
                else:
                    images += _is_image(entry.name)
    except PermissionError:
        return FolderListing(path, ImageCount(0), problem="This folder may not be opened")
    except OSError as error:
        return FolderListing(path, ImageCount(0), problem=f"This folder cannot be listed ({error.strerror})")
    names.sort(key=lambda name: (name.casefold(), name))
    shown = names[:MAX_SHOWN]
    share = max(_MIN_ENTRIES, _MAX_ENTRIES // max(1, len(shown)))
    folders = tuple((name, count_images(path / name, share)) for name in shown)
    complete = len(shown) == len(names) and all(count.complete for _, count in folders)
    total = ImageCount(images + sum(count.images for _, count in folders), complete)
    return FolderListing(path, total, folders, links, len(names) - len(shown))


def count_images(folder: Path, max_entries: int) -> ImageCount:
    """Count the images in a folder and below it, level by level, up to a maximum number of entries."""
    images, seen, queue = 0, itertools.count(1), deque([folder])
    while queue:
        try:
            with os.scandir(queue.popleft()) as entries:
                listed = list(itertools.islice(entries, max_entries + 1))
        except OSError:
            continue
        if any(entry.name == STORE_MARKER for entry in listed):
            continue
        for entry in listed:
            if next(seen) > max_entries:
                return ImageCount(images, complete=False)
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                queue.append(Path(entry.path))
            else:
                images += _is_image(entry.name)
    return ImageCount(images)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES
