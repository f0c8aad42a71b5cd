"""Determine whether a process that left a file is certainly dead.

Only possible for processes of this boot of this host that share our process numbers; others are never reported dead.
"""

import hashlib
import os
import platform
from pathlib import Path

_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the namespace outside all containers; fixed by Linux."""


def host_and_boot() -> tuple[str, str]:
    """Return identifiers of this host and its current boot, 8 hex digits each.

    A container with process numbers of its own is a host of its own, even if it shares name and kernel with others.
    """
    host = platform.node()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = "unknown"
    if (namespace := _pid_namespace()) != _INITIAL_PID_NAMESPACE:
        host += f" {namespace}"
    return hashlib.sha256(host.encode()).hexdigest()[:8], hashlib.sha256(boot.encode()).hexdigest()[:8]


def process_start_time(pid: int) -> str | None:
    """Return the start time of a process in an arbitrary unit, to detect PID reuse.

    None if there is no such process or it is a zombie; "" if it exists but there is no /proc to read the time from.
    """
    if not _has_own_proc():
        return _start_time_without_proc(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # starttime of proc(5)


def shares_process_numbers(host: str, boot: str) -> bool:
    """Whether a process that left these identifiers can be looked up here.

    Not if only the boot differs, which would prove a restart, because two machines may have one name.
    """
    return (host, boot) == host_and_boot() and os.name != "nt"  # Windows has no signal that only tests for existence


def is_dead(host: str, boot: str, pid: int, start_time: str = "") -> bool:
    """True only if certain: it can be looked up here, and there is no such process or its PID was reused."""
    if not shares_process_numbers(host, boot):
        return False
    current_start_time = process_start_time(pid)
    return current_start_time is None or bool(start_time and current_start_time and start_time != current_start_time)


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return _INITIAL_PID_NAMESPACE


def _has_own_proc() -> bool:
    """Whether /proc exists and shows the process numbers that this process sees, not those outside its container."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _start_time_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    return ""
