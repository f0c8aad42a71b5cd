"""Photos that visitors upload as a dataset: a zip, or the files of a folder, unpacked into `<store>/photos/<name>/`.

Names and bytes come from a browser. Every name is cleaned, so nothing is written outside of that folder; sizes are
counted while they are unpacked, whatever the zip claims; and a folder appears only once it is complete.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from seglib.data.scan import IMAGE_SUFFIXES
from seglib.errors import SegError, UsageError
from seglib.store.store import Store

FOLDER = "photos"
"""Folder of a store for uploaded photos, one subfolder for each dataset."""

MAX_PHOTOS = 10_000
MAX_PHOTO_BYTES = 200_000_000
MAX_BYTES = 4_000_000_000
"""Maximum size of one upload once it is unpacked."""

MAX_EXPANSION = 100
"""How many times larger than what was sent an upload may become, above `UNCHECKED_BYTES`."""

UNCHECKED_BYTES = 100_000_000
MAX_KEPT_BYTES = 20_000_000_000
"""Maximum size of all uploaded photos of a store."""

MIN_FREE_BYTES = 500_000_000
"""What is left free on the disk."""

_MAX_DEPTH = 12
_MAX_DIRECTORY_BYTES = 16_000_000
"""Maximum size of a zip's table of contents, which is read into memory as a whole."""

_CHUNK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END_SIGNATURE, _END_BYTES, _MAX_COMMENT = b"PK\x05\x06", 22, 0xFFFF
_END64_SIGNATURE, _END64_BYTES = b"PK\x06\x07", 20
_UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError, ValueError)
"""What zipfile raises for a damaged or forged zip."""

_DAMAGED = "The zip is damaged or incomplete: pack it again."
_TEMPORARY = ".incoming-"


@dataclass(frozen=True)
class AddedPhotos:
    """What became of an upload."""

    folder: Path
    photos: int
    skipped: int
    """Files that are no photos by their names."""


@dataclass(frozen=True)
class _Source:
    """One photo of an upload."""

    path: PurePosixPath
    """Cleaned path, relative and without dots."""
    file: BinaryIO
    """The photo itself, or the zip that holds it."""
    entry: zipfile.ZipInfo | None = None


def find_folders(store: Path) -> list[Path]:
    """Return the folders of uploaded photos, the newest first."""
    try:
        folders = [path for path in (store / FOLDER).iterdir() if path.is_dir() and not path.is_symlink()]
        kept = [path for path in folders if not path.name.startswith(".")]
        return sorted(kept, key=lambda path: (-path.stat().st_mtime, path.name))
    except OSError:
        return []


def is_uploaded(store: Path, folder: Path) -> bool:
    """Return whether the folder holds uploaded photos of this store."""
    return folder.parent.resolve() == (store / FOLDER).resolve()


def add(store: Path, name: str, files: Sequence[tuple[str, BinaryIO]]) -> AddedPhotos:
    """Unpack an upload into a new folder called `name`, or like the zip or the folder that was sent.

    `files`: name as the browser sent it, and the bytes. Raises `UsageError` if nothing of it can be used or it is too
    large, `SegError` if it cannot be written; nothing is left behind then.
    """
    sources, skipped = _list_photos(files)
    if not sources:
        raise UsageError("There are no photos in what was sent.")
    if len(sources) > MAX_PHOTOS:
        raise UsageError(f"{len(sources):,} photos are too many at once: at most {MAX_PHOTOS:,} can be uploaded.")
    sources, top = _strip_common_folder(sources)
    title = _clean(name) or _clean(_name_of_archive(files)) or top or "photos"
    base = Store.create(store).path / FOLDER
    try:
        if base.is_symlink():
            raise UsageError(f"{FOLDER} in this store is a link, but a store's folders must not be links.")
        base.mkdir(exist_ok=True)
        _remove_left_over(base)
        free_bytes = min(MAX_KEPT_BYTES - _size_bytes(base), shutil.disk_usage(base).free - MIN_FREE_BYTES)
        sent_bytes = sum(file.seek(0, os.SEEK_END) for _, file in files)
        max_bytes = min(free_bytes, MAX_BYTES, UNCHECKED_BYTES + MAX_EXPANSION * sent_bytes)
        folder = _reserve(base, title)
        try:
            _unpack(sources, base, folder, max_bytes)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
    except OSError as error:
        raise SegError(f"The photos cannot be written into the store ({error.strerror}).") from None
    return AddedPhotos(folder, len(sources), skipped)


def remove(store: Path, folder: Path) -> None:
    """Delete a folder of uploaded photos. Raises `UsageError` for any other, `SegError` if it cannot be deleted."""
    if not is_uploaded(store, folder) or folder.is_symlink():
        raise UsageError(f"{folder.name} was not uploaded here, so it is not deleted.")
    try:
        trash = folder.with_name(f"{_TEMPORARY}{secrets.token_hex(4)}")
        folder.rename(trash)  # it vanishes at once
        shutil.rmtree(trash)
    except OSError as error:
        raise SegError(f"{folder.name} cannot be deleted ({error.strerror}).") from None


# --- what is in an upload ------------------------------------------------------------------------------------------


def _list_photos(files: Sequence[tuple[str, BinaryIO]]) -> tuple[list[_Source], int]:
    """Return the photos with their cleaned paths, each once, and the number of other files."""
    sources: list[_Source] = []
    skipped, taken = 0, set[str]()
    for name, file in files:
        archive = name.lower().endswith(".zip")
        for path, entry in _list_zip(file) if archive else [(_clean_path(name), None)]:
            if path is None:
                skipped += 1
            elif not any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
                sources.append(_Source(_unused(path, taken), file, entry))
        if len(sources) > MAX_PHOTOS:
            break
    return sources, skipped


def _list_zip(file: BinaryIO) -> Iterator[tuple[PurePosixPath | None, zipfile.ZipInfo]]:
    """Yield the cleaned path of each photo in a zip, None for other files. Raises `UsageError` if it is unusable."""
    _check_directory_size(file)
    try:
        with zipfile.ZipFile(file) as opened:
            entries = opened.infolist()
    except _UNREADABLE:
        raise UsageError(_DAMAGED) from None
    for entry in entries:
        if entry.filename.endswith("/"):  # `is_dir` fails for an empty name
            continue
        kind = entry.external_attr >> 16
        path = _clean_path(entry.filename) if not kind or stat.S_ISREG(kind) or not stat.S_IFMT(kind) else None
        if path is not None and entry.flag_bits & 1:
            raise UsageError("The zip is encrypted: pack it again without a password.")
        if path is not None and entry.compress_type not in _METHODS:
            raise UsageError("The zip is packed in an unusual way: pack it again as a plain zip.")
        yield path, entry


def _check_directory_size(file: BinaryIO) -> None:
    """Refuse a zip whose table of contents would take much memory; those of 4 GB and more are refused as well."""
    size = file.seek(0, os.SEEK_END)
    tail_bytes = min(size, _END_BYTES + _MAX_COMMENT + _END64_BYTES)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    start = len(tail) - _END_BYTES
    if not (tail[start : start + 4] == _END_SIGNATURE and tail.endswith(b"\0\0")):
        start = tail.rfind(_END_SIGNATURE)
    if start < 0 or len(tail) - start < _END_BYTES:
        raise UsageError("This is no zip, or it is damaged: pack it again.")
    if tail[max(0, start - _END64_BYTES) : start].startswith(_END64_SIGNATURE):
        raise UsageError("The zip holds too many files: pack it in several parts.")
    if int.from_bytes(tail[start + 12 : start + 16], "little") > _MAX_DIRECTORY_BYTES:
        raise UsageError("The zip holds too many files: pack it in several parts.")


def _clean_path(name: str) -> PurePosixPath | None:
    """Return a relative path without dots, drives and characters that some system refuses; None if it is no photo."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    if not parts or PurePosixPath(parts[-1]).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    stem, suffix = os.path.splitext(parts[-1])
    folders = [_clean(part, hidden=True) or "_" for part in parts[:-1]][-_MAX_DEPTH:]
    return PurePosixPath(*folders, (_clean(stem, hidden=True) or "photo") + suffix)


def _clean(name: str, *, hidden: bool = False) -> str:
    """Return a name that every system accepts for a file; empty if nothing is left. `hidden` keeps a leading dot."""
    plain = "".join(char if char.isprintable() and char not in '<>:"|?*/\\' else "_" for char in name)
    plain = os.fsencode(plain.encode("utf-8", "replace").decode())[:150].decode("utf-8", "ignore").rstrip(" .")
    return plain.lstrip() if hidden else plain.lstrip(" .")


def _unused(path: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """Return the path, with a number if another file has it already on a system that ignores case."""
    unused, number = path, 2
    while (key := str(unused).casefold()) in taken:
        unused, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    taken.add(key)
    return unused


def _strip_common_folder(sources: list[_Source]) -> tuple[list[_Source], str]:
    """Remove the one folder that holds all others, and return its name too; a folder of photos alone is a label."""
    tops = {source.path.parts[0] for source in sources}
    if len(tops) > 1 or all(len(source.path.parts) <= 2 for source in sources):
        return sources, ""
    stripped = [_Source(PurePosixPath(*source.path.parts[1:]), source.file, source.entry) for source in sources]
    return stripped, _clean(tops.pop())


def _name_of_archive(files: Sequence[tuple[str, BinaryIO]]) -> str:
    archives = [name for name, _ in files if name.lower().endswith(".zip")]
    return PurePosixPath(archives[0]).stem if archives else ""


# --- unpacking -----------------------------------------------------------------------------------------------------


def _reserve(base: Path, title: str) -> Path:
    """Create and return a new empty folder of this name, or of it with a number."""
    for number in range(1, 10_000):
        folder = base / (title if number == 1 else f"{title}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise UsageError(f"There are too many uploads called {title!r}: give it another name.")


def _unpack(sources: Sequence[_Source], base: Path, folder: Path, allowed: int) -> None:
    """Write the photos into a hidden folder that then takes the place of `folder`, which is empty."""
    incoming = base / f"{_TEMPORARY}{secrets.token_hex(4)}"
    archives: dict[int, zipfile.ZipFile] = {}
    try:
        incoming.mkdir()
        for source in sources:
            archive = None
            if source.entry is not None:
                key = id(source.file)
                archive = archives[key] = archives.get(key) or zipfile.ZipFile(source.file)
            allowed -= _write_photo(source, archive, incoming / source.path, allowed)
        if os.name == "nt":  # elsewhere the new folder replaces the empty one in one step
            folder.rmdir()
        incoming.rename(folder)
    except _UNREADABLE:
        raise UsageError(_DAMAGED) from None
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _write_photo(source: _Source, archive: zipfile.ZipFile | None, file: Path, allowed: int) -> int:
    """Write one photo and return its size. Raises `UsageError` if it is larger than a photo may be or than allowed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with file.open("xb") as out:
        if archive is None or source.entry is None:
            source.file.seek(0)
            opened: BinaryIO = source.file
        else:
            opened = archive.open(source.entry)  # type: ignore[assignment]
        while chunk := opened.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > MAX_PHOTO_BYTES:
                raise UsageError(f"{source.path.name} has more than {MAX_PHOTO_BYTES / 1e6:.0f} MB: leave it out.")
            if written > allowed:
                raise UsageError("These photos are too large together: upload fewer, or name their folder.")
            out.write(chunk)
    return written


def _size_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _remove_left_over(base: Path) -> None:
    """Remove what a killed server has left of an upload more than a day ago."""
    now = base.stat().st_mtime
    for path in base.glob(f"{_TEMPORARY}*"):
        if now - path.stat().st_mtime > 86_400:
            shutil.rmtree(path, ignore_errors=True)
