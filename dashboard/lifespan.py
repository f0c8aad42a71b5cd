"""Server start-up work that is done once, so that no visitor waits for it.

Enables TCP_NODELAY, imports all pages, excludes the loaded code from garbage collection, and reads the newest run.
"""

import contextlib
import gc
import importlib
import logging
import pkgutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from dashboard import tcp_nodelay, views
from dashboard.settings import ServerSettings
from seglib.errors import SegError


@contextlib.asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[None]:
    """Lifespan handler of the app: its socket is listening, and no client is connected yet."""
    tcp_nodelay.disable_nagle()
    import_pages()
    freeze_gc()
    start_reading(ServerSettings.read().store)
    yield


def import_pages() -> None:
    """Import all pages; not at module import, because Streamlit's caches need a running runtime."""
    for module in pkgutil.walk_packages(views.__path__, f"{views.__name__}."):
        importlib.import_module(module.name)


def freeze_gc() -> None:
    """Exclude the objects that exist by now, mostly code, from garbage collection.

    Scanning them takes a tenth of a second, during which no request is answered. For the same reason
    `streamlit_options` turns off Streamlit's own collection after each script run; Python's automatic collection
    remains.
    """
    gc.collect()
    gc.freeze()


def start_reading(store: Path) -> threading.Thread:
    """Read the store's newest run into the cache, in the background: with a million rows it takes seconds."""

    from dashboard.queries import photos as photo_queries  # needs a running runtime, as the pages do

    def read() -> None:
        with contextlib.suppress(SegError, OSError):  # the first page says what is wrong
            photo_queries.read_newest_run(store)

    thread = threading.Thread(target=read, name="first read", daemon=True)
    # the cache's spinner warns that it has no page to be drawn on
    spinner_log = logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context")
    spinner_log.addFilter(lambda _: threading.current_thread() is not thread)
    thread.start()
    return thread
