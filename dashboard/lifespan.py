"""Server start-up work that is done once, so that no visitor waits for it.

Enables TCP_NODELAY, imports all pages, and excludes the loaded code from garbage collection.
"""

import contextlib
import gc
import importlib
import pkgutil
from collections.abc import AsyncIterator

from dashboard import views
from dashboard.server import tcp_nodelay


@contextlib.asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[None]:
    """Lifespan handler of the app: its socket is listening, and no client is connected yet."""
    tcp_nodelay.disable_nagle()
    import_pages()
    freeze_gc()
    yield


def import_pages() -> None:
    """Import all pages; not at module import, because Streamlit's caches need a running runtime."""
    for module in pkgutil.walk_packages(views.__path__, f"{views.__name__}."):
        importlib.import_module(module.name)


def freeze_gc() -> None:
    """Exclude the objects that exist by now, mostly code, from garbage collection.

    Scanning them takes a tenth of a second, during which no request is answered. For the same reason
    `.streamlit/config.toml` turns off Streamlit's own collection after each script run; Python's automatic collection
    remains.
    """
    gc.collect()
    gc.freeze()
