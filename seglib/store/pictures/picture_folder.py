"""Read a store's pictures by image_id, whether they are single files or in packs."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from seglib.data.image import is_image_id
from seglib.errors import StoreError
from seglib.fileio.shared_disk import retry_stale
from seglib.store.pictures.pack_file import Entry, Pack, covers, list_packs, open_pack

Found = TypeVar("Found")

_SETTLED_NS = 2 * 10**9
"""A folder modified more recently could change again within the same mtime, so its list of packs is not cached."""

_LISTINGS = 5
"""How often packs are listed for one picture, since a pack may be replaced by another after it was listed."""


@dataclass(frozen=True)
class PictureFolder:
    """Pictures `<ab>/<image_id><suffix>`, and packs of them; `<ab>` is the first two digits of the image_id.

    A single file counts before a pack, and a newer pack before an older one.
    """

    folder: Path
    suffix: str

    def path(self, image_id: str) -> Path:
        """The single file, which need not exist: where the picture is written."""
        return self.folder / _check_image_id(image_id)[:2] / f"{image_id}{self.suffix}"

    def read(self, image_id: str) -> bytes:
        """Raises `FileNotFoundError` if there is no such picture, another `OSError` if it cannot be read."""
        try:
            return read_without_links(self.path(image_id))
        except FileNotFoundError as missing:
            if (found := self._look_up(image_id, Pack.read)) is None:
                raise missing from None
            return found[1]

    def exists(self, image_id: str) -> bool:
        return self.path(image_id).exists() or self.find_packed(image_id) is not None

    def version(self, image_id: str) -> str | None:
        """At most 24 hex digits that change with the picture; None if there is none."""
        try:
            status = self.path(image_id).stat()
            return f"{status.st_mtime_ns:x}{status.st_size:x}"[-24:]
        except OSError:
            found = self.find_packed(image_id)
            return None if found is None else f"{found[1].crc:08x}{found[1].size:x}"

    def find_packed(self, image_id: str) -> tuple[Pack, Entry] | None:
        """The newest pack with this picture, and its record there; None if no pack has it."""
        try:
            return self._look_up(image_id, Pack.find)
        except OSError:  # its pack is damaged
            return None

    def packs(self) -> list[Pack]:
        """The packs that can be read, newest first."""
        damaged = self.damaged_packs()
        return [open_pack(path) for path in list_packs(self.folder) if path not in damaged]

    def damaged_packs(self) -> list[Path]:
        """The packs none of whose pictures can be read, newest first."""
        return [path for path in list_packs(self.folder) if not _is_readable(path)]

    def single_files(self, after: str = "") -> Iterator[Path]:
        """Yield the single files with a name above `after`, sorted; links are left out, which lead out of the store."""
        if self.folder.is_symlink():
            return
        for shard in sorted(_entries(self.folder, is_folder=True)):
            if len(shard) == 2 and shard >= after[:2]:
                for name in sorted(_entries(self.folder / shard, is_folder=False)):
                    if name > after and name.endswith(self.suffix) and is_image_id(name.removesuffix(self.suffix)):
                        yield self.folder / shard / name

    def _look_up(self, image_id: str, look: Callable[[Pack, str], Found | None]) -> tuple[Pack, Found] | None:
        """What `look` finds in the newest pack with this picture."""
        for _ in range(_LISTINGS):
            try:
                for path in _current_packs(self.folder):
                    if covers(path.name, image_id):
                        pack = open_pack(path)
                        if (found := look(pack, f"{image_id}{self.suffix}")) is not None:
                            return pack, found
                return None
            except FileNotFoundError:  # written again, as another pack, since it was listed
                continue
        return None


def read_without_links(path: Path) -> bytes:
    """Read an image file of the store; a symbolic link raises `OSError` where the platform has O_NOFOLLOW."""

    def read() -> bytes:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NOFOLLOW", 0))) as file:
            return file.read()

    return retry_stale(read)


def _current_packs(folder: Path) -> tuple[Path, ...]:
    try:
        changed_ns = os.stat(folder).st_mtime_ns
    except OSError:
        return ()
    if time.time_ns() - changed_ns < _SETTLED_NS:
        return list_packs(folder)
    return _list_packs_once(folder, changed_ns)


@lru_cache(maxsize=64)
def _list_packs_once(folder: Path, _changed_ns: int) -> tuple[Path, ...]:
    return list_packs(folder)


def _is_readable(path: Path) -> bool:
    try:
        Pack.open(path)
    except OSError:
        return False
    return True


def _entries(folder: Path, *, is_folder: bool) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry.name for entry in entries if (entry.is_dir if is_folder else entry.is_file)(follow_symlinks=False)
            ]
    except OSError:  # removed in the meantime
        return []


def _check_image_id(image_id: str) -> str:
    """Validate an image_id before it becomes part of a path, since it may come from a tampered file."""
    if not is_image_id(image_id):
        raise StoreError(
            f"{image_id[:40]!r} is not an image_id: a part of this store was changed, restore it from a copy."
        )
    return image_id
