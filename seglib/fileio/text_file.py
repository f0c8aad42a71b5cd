"""Read text files that people write: lists of photos, of class names, of splits."""

import codecs
import io
from pathlib import Path

from seglib.errors import UsageError

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order mark -> encoding; without one, UTF-8."""

_REMEDY = "expected a text file in UTF-8 with one entry per line, so save it as UTF-8"


def read_text_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a text file without surrounding white space and without blank lines.

    Reads UTF-8 with or without a byte order mark, and UTF-16 with one, as editors and shells on Windows write it; lines
    end in LF, CRLF or CR. Raises `UsageError` for anything else, since a wrong guess would change names silently.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"The list {str(path)!r} cannot be read ({error.strerror}): {_REMEDY}.") from None
    encoding = next((name for mark, name in _ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at {error.start} is not {encoding.removesuffix('-sig').upper()}"
        raise UsageError(f"The list {str(path)!r} cannot be read ({found}): {_REMEDY}.") from None
    if "\0" in text:  # UTF-16 or UTF-32 without a mark that is known, or no text at all
        raise UsageError(f"The list {str(path)!r} cannot be read (it holds NUL characters): {_REMEDY}.")
    lines = (line.strip().removeprefix(_BYTE_ORDER_MARK).strip() for line in io.StringIO(text, newline=None))
    return tuple(line for line in lines if line)
