"""JSON records of the store with a checksum, so that a flipped bit is told from what was written.

In: values, files. Out: bytes; values, or `Damaged`. A record without a checksum is taken as it is. Knows nothing of
what records say.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglib.errors import Damaged

CHECKSUM = "checksum"
"""The key of the first 16 hex digits of SHA-256 over all else in the record."""


def encoded(value: Mapping[str, Any]) -> bytes:
    whole = {**value, CHECKSUM: _checksum(value)}
    try:
        return json.dumps(whole, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a folder whose name is no UTF-8
        return json.dumps(whole, indent=1).encode()


def read(file: Path, remedy: str, *, newest: int = 1) -> dict[str, Any]:
    """What was written, without its checksum; `remedy` says what to do if it is anything else, and `newest` which
    layout (`schema`) this program knows.
    """
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        raise damaged(file, remedy) from None
    if not isinstance(value, dict):
        raise damaged(file, remedy)
    if value.pop(CHECKSUM, None) in (None, _checksum(value)):
        return value
    if isinstance(layout := value.get("schema"), int) and layout > newest:
        raise Damaged(
            f"{_name(file)} is of a newer version (layout {layout}) or damaged: upgrade the program; or {remedy}."
        )
    raise damaged(file, remedy)


def damaged(file: Path, remedy: str) -> Damaged:
    return Damaged(f"{_name(file)} is damaged: {remedy}.")


def _name(file: Path) -> str:
    return "/".join(file.parts[-3:])


def _checksum(value: Mapping[str, Any]) -> str:
    """Of the value as JSON makes it: tuples are lists in it."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
