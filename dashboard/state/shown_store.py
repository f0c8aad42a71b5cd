"""Which store the pages show: one's own, or the demo's as long as one's own holds no run.

The demo's store holds the sample photos and nothing else, so that they never enter the figures of one's own photos.
`Runs` and `Try` always work on one's own store.
"""

from pathlib import Path

from dashboard.settings import DEMO_FOLDER, ServerSettings
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError
from seglib.store.store import Store


def has_run(store: Path) -> bool:
    """Return whether the store holds a run, readable or not."""
    return (store / STORE_MARKER).is_file() and next(store.glob("runs/*/run.json"), None) is not None


def has_demo(settings: ServerSettings) -> bool:
    """Return whether the demo can be shown."""
    try:
        return has_run(settings.demo.store) and bool(Store(settings.demo.store).runs())
    except SegError:
        return False


def choose_store(settings: ServerSettings, *, wants_demo: bool) -> ServerSettings:
    """Return the settings with the store to show: the demo's if it is wanted or there is no run yet."""
    if (wants_demo or not has_run(settings.store)) and has_demo(settings):
        return settings.demo
    return settings


def is_demo(store: Path, settings: ServerSettings) -> bool:
    return store.name == DEMO_FOLDER and store.parent == settings.store
