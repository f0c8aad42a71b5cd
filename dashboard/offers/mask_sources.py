"""The folders of masks or YOLO labels, and the COCO files, that runs may be evaluated against."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePath

from dashboard.offers.photo_folders import Folder, describe_path, find_folders
from seglib.annotations.raw_mask import MASK_SUFFIXES
from seglib.data.scan import STORE_MARKER
from seglib.errors import UsageError

_MAX_FILES_CHECKED = 500
_MAX_ENTRIES = 100_000
"""Files listed below an offered folder in search of annotations."""
_MAX_JSON_FILES = 500
"""JSON files opened in that search."""
_MAX_DEPTH = 3
_PEEKED_BYTES = 65_536
_COCO_KEYS = (b'"images"', b'"annotations"', b'"categories"')


def find_mask_sources(data: Sequence[Path]) -> list[Folder]:
    """Return the folders that hold files of a mask's kind, then YOLO's labels and COCO files, each once."""
    folders = sorted(find_folders(data), key=lambda folder: folder.path in data)  # what is below `data` comes first
    masks = {folder.id: folder for folder in folders if _holds_masks(folder.path)}
    others = {other.id: other for root in data for other in _find_annotations(root)}
    new = [other for other in others.values() if other.id not in masks]
    return [*masks.values(), *sorted(new, key=lambda other: other.title)]


def get_mask_source(data: Sequence[Path], source_id: str) -> Folder:
    """Return the offered folder or file with this id. Raises `UsageError` if there is none."""
    for source in chain(find_folders(data), chain.from_iterable(map(_find_annotations, data))):
        if source.id == source_id:
            return source
    raise UsageError("These masks are not, or no longer, among those that this dashboard offers.")


def is_mask_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in MASK_SUFFIXES


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder from here down with its files' names, sorted; hidden ones and stores are left out."""
    for path, inside, names in os.walk(folder):
        if STORE_MARKER in names:
            inside.clear()
            continue
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        yield Path(path), sorted(name for name in names if not name.startswith("."))


def _holds_masks(folder: Path) -> bool:
    """Return whether the first files of the folder include one of a mask's kind."""
    file_count = 0
    for _, names in walk(folder):
        if any(is_mask_name(name) for name in names[:_MAX_FILES_CHECKED]):
            return True
        file_count += len(names)
        if file_count > _MAX_FILES_CHECKED:
            return False
    return False


def _find_annotations(root: Path) -> Iterator[Folder]:
    """Yield YOLO's folders of labels, and the COCO files."""
    entry_count = json_count = 0
    for path, names in walk(root):
        below = path.relative_to(root)
        if len(below.parts) <= _MAX_DEPTH:
            if path.name == "labels" and _holds_labels(path):
                yield describe_path(root, "" if path == root else below.as_posix())
            json_names = [name for name in names if name.lower().endswith(".json")]
            for name in json_names[: _MAX_JSON_FILES - json_count]:
                if _looks_like_coco(path / name):
                    yield describe_path(root, (below / name).as_posix())
            json_count += len(json_names)
        entry_count += len(names)
        if entry_count > _MAX_ENTRIES or json_count >= _MAX_JSON_FILES:
            return


def _holds_labels(folder: Path) -> bool:
    """Return whether the folder, or one directly below it, holds text files."""
    return any(next(folder.glob(pattern), None) is not None for pattern in ("*.txt", "*/*.txt"))


def _looks_like_coco(file: Path) -> bool:
    """Judge by both ends of the file, since it may hold hundreds of megabytes."""
    if file.is_symlink() or not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            start = opened.read(_PEEKED_BYTES)
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - _PEEKED_BYTES))
            end = opened.read(_PEEKED_BYTES)
    except OSError:
        return False
    is_object = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    return is_object and sum(key in start or key in end for key in _COCO_KEYS) >= 2
