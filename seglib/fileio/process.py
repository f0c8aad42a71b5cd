"""Determine whether a process that left a file is certainly dead.

Only possible for processes of this host; processes of other hosts are never reported dead.
"""

import hashlib
import os
import platform
from pathlib import Path


def host_and_boot() -> tuple[str, str]:
    """Return identifiers of this host and its current boot, 8 hex digits each."""
    host = platform.node()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = "unknown"
    return hashlib.sha256(host.encode()).hexdigest()[:8], hashlib.sha256(boot.encode()).hexdigest()[:8]


def process_start_time(pid: int) -> str | None:
    """Return the start time of a process in an arbitrary unit, to detect PID reuse.

    None if there is no such process or it is a zombie; "" if it exists but there is no /proc to read the time from.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self").exists() else _start_time_without_proc(pid)
    return None if fields[0] in "ZX" else fields[19]  # starttime of proc(5)


def is_dead(host: str, boot: str, pid: int, start_time: str = "") -> bool:
    """True only if certain: same host and either an earlier boot, no such process, or its PID was reused."""
    this_host, now = host_and_boot()
    if host != this_host or os.name == "nt":  # Windows has no signal that only tests for existence
        return False
    if boot != now:
        return True
    current_start_time = process_start_time(pid)
    return current_start_time is None or bool(start_time and current_start_time and start_time != current_start_time)


def _start_time_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    return ""
