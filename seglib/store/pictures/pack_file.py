"""A pack: up to 50,000 pictures in one uncompressed ZIP file, each of which is found and read without the others.

    pack-<time>-<first>-<last>.zip      time it was written, in ns; first 4 digits of its smallest and largest image_id
    <image_id>.png, or .jpg             its entries, sorted by name

All names have the same length and no record has extra fields, so that every record of the ZIP's directory has 82 bytes
and can be searched in the file. Format: PKWARE's APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
"""

import errno
import os
import re
import struct
import time
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seglib.fileio.atomic import AtomicWriter

MAX_PICTURES = 50_000
MAX_BYTES = 1 << 30
"""A pack is closed once it has this size: beyond 2 GB, ZIP records have another form."""

_NAME = re.compile(r"pack-[0-9]{20}-([0-9a-f]{4})-([0-9a-f]{4})\.zip\Z")
_DIRECTORY_RECORD = struct.Struct("<4s6H3L5H2L36s")
_LOCAL_RECORD = struct.Struct("<4s5H3L2H36s")
_RECORD_SIZE, _NAME_LENGTH = _DIRECTORY_RECORD.size, 36
_END_RECORD = struct.Struct("<4s4H2LH")
_DATE = (1980, 1, 1, 0, 0, 0)

_WINDOW = 256
"""Records that are read at once; image_ids are evenly spread, so that the first guess is seldom further off."""


class Entry(NamedTuple):
    """A picture's record in the directory of its pack."""

    name: str
    crc: int
    size: int
    offset: int
    """Of its local record, in the file."""


@dataclass(frozen=True)
class Pack:
    """A pack that can be read. Its methods raise `OSError` if the file is gone or damaged."""

    path: Path
    pictures: int
    directory: int
    """Offset of the first directory record."""

    @classmethod
    def open(cls, path: Path) -> "Pack":
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            end = _read_at(file, path, size - _END_RECORD.size, _END_RECORD.size)
        signature, _, _, _, pictures, directory_size, directory, comment = _END_RECORD.unpack(end)
        ends = directory + directory_size + _END_RECORD.size
        if (signature, directory_size, ends, comment) != (b"PK\5\6", pictures * _RECORD_SIZE, size, 0):
            raise damaged_error(path)
        return cls(path, pictures, directory)

    def find(self, name: str) -> Entry | None:
        with _open(self.path) as file:
            return self._search(file, name)

    def read(self, name: str) -> bytes | None:
        """The picture's bytes, compared with their checksum; None if it is not in this pack."""
        with _open(self.path) as file:
            entry = self._search(file, name)
            return None if entry is None else self._read_entry(file, entry)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, by name."""
        with _open(self.path) as file:
            for start in range(0, self.pictures, _WINDOW):
                records = self._records(file, start, min(start + _WINDOW, self.pictures))
                yield from (self._parse(records, at) for at in range(len(records) // _RECORD_SIZE))

    def _search(self, file: BinaryIO, name: str) -> Entry | None:
        low, high = 0, self.pictures  # the record, if there is one, is in [low, high)
        wanted, guess = name.encode("latin-1"), self._guess_place(name)
        while low < high:
            start = max(low, min(guess - _WINDOW // 2, high - _WINDOW))
            stop = min(start + _WINDOW, high)
            records = self._records(file, start, stop)
            at = bisect_left(range(stop - start), wanted, key=lambda at: _name_at(records, at))
            if at < stop - start and _name_at(records, at) == wanted:
                return self._parse(records, at)
            if 0 < at < stop - start:
                return None
            low, high = (low, start) if at == 0 else (stop, high)
            guess = (low + high) // 2
        return None

    def _guess_place(self, name: str) -> int:
        first, last = (int(digits, 16) for digits in _range(self.path.name))
        share = (int(name[:8], 16) / 0x10000 - first) / (last + 1 - first)
        return int(share * self.pictures)

    def _records(self, file: BinaryIO, start: int, stop: int) -> bytes:
        return _read_at(file, self.path, self.directory + start * _RECORD_SIZE, (stop - start) * _RECORD_SIZE)

    def _parse(self, records: bytes, at: int) -> Entry:
        record = _DIRECTORY_RECORD.unpack_from(records, at * _RECORD_SIZE)
        signature, *_, crc, stored, size, _, extra, comment, _, _, _, offset, name = record
        if (signature, stored, extra, comment) != (b"PK\1\2", size, 0, 0):
            raise damaged_error(self.path)
        return Entry(name.decode("latin-1"), crc, size, offset)

    def _read_entry(self, file: BinaryIO, entry: Entry) -> bytes:
        data = _read_at(file, self.path, entry.offset, _LOCAL_RECORD.size + entry.size)
        signature, *_, name = _LOCAL_RECORD.unpack_from(data)
        picture = data[_LOCAL_RECORD.size :]
        if (signature, name) != (b"PK\3\4", entry.name.encode("latin-1")) or zlib.crc32(picture) != entry.crc:
            raise damaged_error(self.path)
        return picture


@lru_cache(maxsize=4096)
def open_pack(path: Path) -> Pack:
    """`Pack.open`, once per process: packs are written once, under a name of their own."""
    return Pack.open(path)


def list_packs(folder: Path) -> tuple[Path, ...]:
    """The packs of a folder, newest first; none of a link, which leads out of the store."""
    if folder.is_symlink():
        return ()
    try:
        names = os.listdir(folder)
    except OSError:
        return ()
    return tuple(folder / name for name in sorted(filter(_NAME.match, names), reverse=True))


def covers(pack_name: str, image_id: str) -> bool:
    """Whether this pack may hold this picture, by the pack's name."""
    first, last = _range(pack_name)
    return first <= image_id[:4] <= last


def write_pack(atomic: AtomicWriter, folder: Path, pictures: Iterable[tuple[str, bytes]]) -> Pack | None:
    """Write pictures, (name, bytes) sorted by name, as a new pack of `folder`; None if there are none."""
    names: list[str] = []
    with atomic.temporary_file(b"") as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, data in pictures:
                archive.writestr(zipfile.ZipInfo(name, _DATE), data)
                names.append(name)
        if not names:
            return None
        path = folder / f"pack-{time.time_ns():020d}-{names[0][:4]}-{names[-1][:4]}.zip"
        atomic.put(temporary, path)
    return Pack.open(path)


def damaged_error(path: Path) -> OSError:
    return OSError(errno.EIO, "damaged pack", str(path))


def _range(pack_name: str) -> tuple[str, str]:
    """The first 4 digits of the smallest and of the largest image_id in a pack."""
    match = _NAME.match(pack_name)
    assert match is not None
    return match[1], match[2]


def _name_at(records: bytes, at: int) -> bytes:
    return records[(at + 1) * _RECORD_SIZE - _NAME_LENGTH : (at + 1) * _RECORD_SIZE]


def _open(path: Path) -> BinaryIO:
    """Open without following a symbolic link, where the platform has O_NOFOLLOW."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    return os.fdopen(descriptor, "rb", buffering=0)


def _read_at(file: BinaryIO, path: Path, offset: int, size: int) -> bytes:
    if offset < 0:
        raise damaged_error(path)
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise damaged_error(path)
    return data
