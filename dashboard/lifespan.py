"""What the server does once, before its first visitor comes, so that no visitor waits for it.

In: nothing. Out: an app whose answers leave at once, whose pages are imported, and whose garbage collector does not
walk through them. Knows nothing of stores or visitors.
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
    """For the app: its socket listens by now, and nobody is connected yet."""
    tcp_nodelay.answer_at_once()
    import_pages()
    spare_the_collector()
    yield


def import_pages() -> None:
    """Not when this room is imported: Streamlit's caches want its runtime to be there."""
    for module in pkgutil.walk_packages(views.__path__, f"{views.__name__}."):
        importlib.import_module(module.name)


def spare_the_collector() -> None:
    """Take what is there by now, mostly code, out of the garbage collector's sight.

    To walk through it takes a tenth of a second, in which no visitor is answered. For the same reason
    `.streamlit/config.toml` forgoes Streamlit's own collection after each run of a page: what visitors leave behind is
    collected as in any Python program, once there is enough of it.
    """
    gc.collect()
    gc.freeze()
