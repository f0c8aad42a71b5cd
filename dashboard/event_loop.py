"""Wake the server's event loop only where it may be asleep.

Streamlit sends each message of a page to the event loop with two calls of `call_soon_threadsafe`, one of them from the
loop itself, and each writes a byte to the loop's own socket. A write gives the interpreter to whichever script waits
for it, for up to 5 ms, several times per message while many visitors are there.
"""

import threading
from asyncio import AbstractEventLoop, selector_events
from typing import Any

_WRITE = "_write_to_self"


def spare_wakeups(loop: AbstractEventLoop) -> bool:
    """Do not wake this running loop while it is awake or has been woken already; call on its thread.

    Return whether anything was changed: loops of another kind, such as uvloop's, are left as they are.
    """
    if getattr(type(loop), _WRITE, None) is not getattr(selector_events.BaseSelectorEventLoop, _WRITE, loop):
        return False
    own: Any = loop
    write, process, loop_thread = own._write_to_self, own._process_self_data, threading.get_ident()
    woken = False

    def write_to_self() -> None:
        nonlocal woken
        # what is to be called is in the loop's queue by now, and a loop that is awake looks there before it sleeps
        if not woken and threading.get_ident() != loop_thread:
            woken = True
            write()

    def process_self_data(data: bytes) -> None:
        nonlocal woken
        woken = False
        process(data)

    own._write_to_self, own._process_self_data = write_to_self, process_self_data
    return True
