"""Read the log of a job for a page: its last part, as plain text.

A log holds what the worker printed: usually lines that `job_worker` writes, and tracebacks, which name paths of this
machine. Anyone may have written it if the store is a copy from elsewhere, so links are not followed and control
characters are dropped.
"""

import os
import re
import sys
from pathlib import Path

from dashboard.formatting import byte_size, redact_paths
from dashboard.settings import ROOT, ServerSettings
from dashboard.workers.jobs import Jobs
from seglib.errors import SegError

SHOWN_BYTES = 32_000
MAX_BYTES = 4_000_000
"""Longest part of a log that is read for a download."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_MIN_PREFIX = 5
"""A shorter path, such as `/`, says nothing of the machine."""


def read_log(settings: ServerSettings, job_id: str, max_bytes: int = SHOWN_BYTES) -> str:
    """Return the last lines of a job's log, at most `max_bytes`; empty if nothing was printed.

    A server that others can reach shows the last component of a path only. Raises `SegError` if there is no log.
    """
    file = Jobs(settings).log_file(job_id)
    try:
        with open(file, "rb", opener=_open_no_link) as opened:
            size = os.fstat(opened.fileno()).st_size
            opened.seek(max(0, size - max_bytes))
            data = opened.read(max_bytes)
    except OSError as error:
        raise SegError(f"The log of this job cannot be read ({error.strerror or 'it is no file'}).") from None
    skipped = size - len(data)
    if skipped > 0:
        data = data.partition(b"\n")[2] or data
    text = to_plain_text(data)
    if not settings.local_only:
        text = hide_paths(text, settings)
    return f"(The first {byte_size(skipped)} are left out.)\n{text}" if skipped > 0 else text


def to_plain_text(data: bytes) -> str:
    """Decode what a program printed: of a line that it overwrote the last version, without colours and controls."""
    lines = _COLOURS.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n").split("\n")
    visible = (line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return "\n".join(
        "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in v) for v in visible
    )


def hide_paths(text: str, settings: ServerSettings) -> str:
    """Reduce each absolute path to its last component, also where a folder that we know of has spaces in its name."""
    known = [Path.home(), settings.store, *settings.photo_folders, ROOT, Path(sys.prefix)]
    prefixes = {str(form) for path in known for form in (path.absolute(), path.resolve())}
    for prefix in sorted(prefixes, key=len, reverse=True):
        if len(prefix) >= _MIN_PREFIX:
            text = text.replace(prefix, f"/{Path(prefix).name}")
    return redact_paths(text)


def _open_no_link(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
