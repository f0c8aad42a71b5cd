"""Read and write JSON records with a checksum that detects corruption.

Reading raises `DamagedFileError` on a mismatch; records without a checksum are accepted unchecked.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglib.errors import DamagedFileError, StoreError
from seglib.fileio.shared_disk import retry_stale

CHECKSUM = "checksum"
"""Key of the checksum: the first 16 hex digits of the SHA-256 of the rest of the record."""


def encode(value: Mapping[str, Any]) -> bytes:
    whole = {**value, CHECKSUM: _checksum(value)}
    try:
        return json.dumps(whole, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a folder name that is not valid UTF-8
        return json.dumps(whole, indent=1).encode()


def read(file: Path, remedy: str, *, max_schema: int = 1) -> dict[str, Any]:
    """Return the record without its checksum. Raises `DamagedFileError` if it is corrupt or too new, `StoreError` if
    the disk refuses to read it.

    `remedy` is the advice in the error message, `max_schema` the newest layout (`schema`) that this program can read.
    """
    try:
        value = json.loads(retry_stale(file.read_bytes))
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        raise damaged_error(file, remedy) from None
    except OSError as error:
        raise StoreError(
            f"{_short_path(file)} cannot be read ({error.strerror}): check the disk, the network and the permissions, "
            "then try again."
        ) from None
    if not isinstance(value, dict):
        raise damaged_error(file, remedy)
    if value.pop(CHECKSUM, None) in (None, _checksum(value)):
        return value
    if isinstance(layout := value.get("schema"), int) and layout > max_schema:
        raise DamagedFileError(
            f"{_short_path(file)} is of a newer version (layout {layout}) or damaged: upgrade the program; or {remedy}."
        )
    raise damaged_error(file, remedy)


def damaged_error(file: Path, remedy: str) -> DamagedFileError:
    return DamagedFileError(f"{_short_path(file)} is damaged: {remedy}.")


def _short_path(file: Path) -> str:
    return "/".join(file.parts[-3:])


def _checksum(value: Mapping[str, Any]) -> str:
    """Hash the JSON form of the value, in which tuples equal lists."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
