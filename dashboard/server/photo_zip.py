"""A zip of photos, made while it is sent: one photo at a time is in memory.

Photos keep their path below a folder per dataset. One that is gone, that has changed since its scan, or that cannot be
read is left out, and named with the reason in a text file at the end.
"""

import hashlib
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore, Lock
from typing import NamedTuple
from urllib.parse import quote

import pyarrow as pa
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dashboard.formatting import slug
from dashboard.server import photo_files
from dashboard.server.media_urls import StoredFile
from dashboard.server.photo_files import ScannedFile
from seglib.errors import BadImage, SegError, StoreError
from seglib.query import export

MAX_PHOTOS = 10_000
MAX_BYTES = 20_000_000_000
MAX_PARALLEL = 4
"""Maximum number of zips that are sent at the same time."""

LEFT_OUT = "left out.txt"

_UNREADABLE = "The file cannot be read"
_PIECE = 1 << 20
"""Maximum number of bytes handed to the connection at once."""

_FIRST_DATE, _LAST_DATE = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
"""Of a file in a zip."""

slots = BoundedSemaphore(MAX_PARALLEL)


class ZipPhoto(NamedTuple):
    """A photo and the name of its dataset."""

    dataset: str
    file: ScannedFile


class ZipResponse(StreamingResponse):
    """Sends a zip as a download and then releases its slot, also if the browser leaves."""

    def __init__(self, pieces: Iterable[bytes], name: str) -> None:
        super().__init__(pieces, headers=download_headers(name), media_type="application/zip")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            slots.release()


def download_headers(name: str) -> dict[str, str]:
    """Return the headers of a zip; any text may be the name."""
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(slug(name) or 'photos')}.zip",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def stream_zip(
    photos: Iterable[ZipPhoto], read: Callable[[StoredFile, str], bytes], store: Path, *, suffix: str = ""
) -> Iterator[bytes]:
    """Yield the pieces of a zip of these photos.

    `read` returns the bytes of a file whose content must have this image_id; it raises `StoreError` if it has not.
    `suffix` replaces the photos' own, where `read` returns another format.
    """
    window, names, left_out = _Window(), _UniqueNames(), list[str]()
    with zipfile.ZipFile(window, "w") as archive:
        for photo in photos:
            data = _read_photo(photo.file, read, store)
            if isinstance(data, str):
                left_out.append(f"{photo.dataset}/{photo.file.path}: {data}.\n")
                continue
            archive.writestr(_entry(names.find(photo, suffix), photo.file.mtime_ns), data)
            yield from window.take()
        if left_out:
            text = f"{len(left_out):,} not in this zip:\n{''.join(left_out)}"
            archive.writestr(_entry(LEFT_OUT, time.time_ns()), text.encode("utf-8", "backslashreplace"))
    yield from window.take()


def _read_photo(photo: ScannedFile, read: Callable[[StoredFile, str], bytes], store: Path) -> bytes | str:
    """Return the photo's bytes, or in words why there are none."""
    file = photo_files.check_file(photo, store)
    if file.path is None:
        return file.reason
    try:
        return read(StoredFile(file.path, file.version), photo.image_id)
    except StoreError:
        return photo_files.CHANGED
    except (SegError, BadImage, OSError, ValueError):
        return _UNREADABLE


def _entry(name: str, mtime_ns: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _date(mtime_ns))  # photos are compressed already
    entry.external_attr = 0o644 << 16
    return entry


def _date(mtime_ns: int) -> tuple[int, int, int, int, int, int]:
    try:
        local = time.localtime(mtime_ns // 10**9)
    except (OverflowError, OSError, ValueError):
        return _FIRST_DATE
    date = local.tm_year, local.tm_mon, local.tm_mday, local.tm_hour, local.tm_min, min(local.tm_sec, 59)
    return min(max(date, _FIRST_DATE), _LAST_DATE)


class _UniqueNames:
    """Names of files in a zip, which differ also where a file system ignores case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def find(self, photo: ZipPhoto, suffix: str) -> str:
        path = PurePosixPath(export.dataset_folder(photo.dataset)) / export.safe_path(photo.file.path)
        path = path.with_suffix(suffix or path.suffix)
        name, number = path, 1
        while str(name).casefold() in self._taken:
            number += 1
            name = path.with_stem(f"{path.stem} ({number})")
        self._taken.add(str(name).casefold())
        return str(name).encode("utf-8", "backslashreplace").decode()


class _Window:
    """A file of which only the end is in memory, in which `zipfile` may go back as far as the entry being written.

    So that each entry begins with its size and checksum, which some programs need; `zipfile` writes them behind the
    entry where it cannot go back.
    """

    def __init__(self) -> None:
        self._start, self._buffer = 0, BytesIO()

    def write(self, data: bytes) -> int:
        return self._buffer.write(data)

    def tell(self) -> int:
        return self._start + self._buffer.tell()

    def seek(self, position: int, _whence: int = 0) -> int:
        return self._start + self._buffer.seek(position - self._start)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> Iterator[bytes]:
        """Yield what was written and forget it."""
        data = self._buffer.getvalue()
        self._start, self._buffer = self._start + len(data), BytesIO()
        for at in range(0, len(data), _PIECE):
            yield data[at : at + _PIECE]


# --- photos that a visitor picked: too many to name in a URL ------------------------------------------------------


_MAX_REMEMBERED = 64
_remembered: OrderedDict[str, pa.Array] = OrderedDict()
_remembering = Lock()


def remember_ids(image_ids: pa.Array) -> str:
    """Keep at most `MAX_PHOTOS` image ids for a while and return the key under which `recall_ids` finds them."""
    key = hashlib.sha256("\n".join(image_ids.to_pylist()).encode()).hexdigest()[:32]
    with _remembering:
        _remembered[key] = image_ids
        _remembered.move_to_end(key)
        while len(_remembered) > _MAX_REMEMBERED:
            _remembered.popitem(last=False)
    return key


def recall_ids(key: str) -> pa.Array | None:
    with _remembering:
        return _remembered.get(key)
