"""placeholder until helper's version arrives"""

from pathlib import Path

from seglib.errors import UsageError


def read_text_lines(path: Path) -> tuple[str, ...]:
    try:
        data = path.read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path.name!r} cannot be read: expected a text file in UTF-8.") from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())
