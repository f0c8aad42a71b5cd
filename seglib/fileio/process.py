"""Which processes are still there: of this machine for certain, of others never.

In: a process's number and start, the machine that it ran on. Out: whether it is certainly dead. Knows nothing of
stores.
"""

import hashlib
import os
import platform
from pathlib import Path


def machine() -> tuple[str, str]:
    """8 hex digits for this host and for its current boot."""
    host = platform.node()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = "unknown"
    return hashlib.sha256(host.encode()).hexdigest()[:8], hashlib.sha256(boot.encode()).hexdigest()[:8]


def started(pid: int) -> str | None:
    """When the process began, in any unit, so that a later one of the same number is told from it; None if there is
    none, or one that does no more work. Without /proc nobody tells when: then it is the empty text.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self").exists() else _exists(pid)
    return None if fields[0] in "ZX" else fields[19]  # starttime of proc(5)


def is_dead(host: str, boot: str, pid: int, began: str = "") -> bool:
    """True only if it is certain: same host, and another boot, no such process, or another one of that number."""
    here, now = machine()
    if host != here or os.name == "nt":  # Windows has no harmless signal to ask with
        return False
    if boot != now:
        return True
    found = started(pid)
    return found is None or bool(began and found and began != found)


def _exists(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    return ""
