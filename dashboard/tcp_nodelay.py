"""Set TCP_NODELAY on the server's listening sockets, so that small responses are sent without delay.

Streamlit creates its listening socket in a way that asyncio does not recognise as TCP, so Nagle's algorithm stays on:
the body of each response then waits 40 ms until the browser has acknowledged the headers.
"""

import contextlib
import os
import socket
from pathlib import Path

_OPEN_FILES = Path("/dev/fd")
"""Linux and macOS list a process's open files here; where it is missing, nothing is changed."""


def disable_nagle() -> int:
    """Set TCP_NODELAY on every listening socket of this process, for connections to inherit; returns how many."""
    changed = 0
    for name in os.listdir(_OPEN_FILES) if _OPEN_FILES.is_dir() else ():
        # most files are not sockets
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6) and _is_listening(connection):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                changed += 1
    return changed


def _is_listening(connection: socket.socket) -> bool:
    return connection.type == socket.SOCK_STREAM and bool(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
