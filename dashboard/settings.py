"""Settings that the launcher passes to the server: the store, the offered folders and models, and the server's names
and base path.

They are environment variables, set by `python -m dashboard` and read on each use into a frozen `ServerSettings`; one
process serves one store.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from seglib.store.shown.server import PICKS_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
"""Parent folder of the packages; in a checkout it also holds `dataset/`."""

DEFAULT_STORE = "output"

_PACKAGED_SAMPLE = Path(__file__).with_name("sample")
SAMPLE = _PACKAGED_SAMPLE if _PACKAGED_SAMPLE.is_dir() else ROOT / "dataset" / "sample"
"""The sample photos, which the demo shows; in a wheel they are in this package (setup.py)."""

LOG_LEVELS = ("error", "warning", "info", "debug")

DEMO_FOLDER = "demo"
"""Folder of a store for the store of the demo."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names under which a browser on this machine reaches the server."""

_STORE = "SEGLIB_DASHBOARD_STORE"
_DATA = "SEGLIB_DASHBOARD_DATA"
_NAMED = "SEGLIB_DASHBOARD_FOLDERS_NAMED"
_MODELS = "SEGLIB_DASHBOARD_MODELS"
_NAMES = "SEGLIB_DASHBOARD_NAMES"
_BASE = "SEGLIB_DASHBOARD_BASE"
_LOCAL = "SEGLIB_DASHBOARD_LOCAL"
_LOG = "SEGLIB_DASHBOARD_LOG"

LARGE_RUN_VARIABLE = "SEGLIB_LARGE_RUN"
"""The environment variable that says from how many images on a run is not read into memory."""

_LARGE_RUN = 3_000_000
"""Without it; each million takes 650 MB of memory."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    store: Path
    photo_folders: tuple[Path, ...]
    """Folders of photos that a page may offer for analysis; what else it offers is in `offers.photo_folders`."""
    folders_named: bool = True
    """Whether the operator named these folders; otherwise there is one, the default."""
    models: tuple[str, ...] = ()
    """Folders whose models a page may offer, and models as `run --model` takes them; clients can name no others."""
    host_names: tuple[str, ...] = LOOPBACK_NAMES
    """Host names that the server answers to; empty accepts any."""
    base_path: str = ""
    """Base path of a reverse proxy, such as `/photos`; empty at the root."""
    picks_file: Path | None = None
    """Where the ids of picked photos are kept for the program that has started this dashboard (`Store.show`)."""
    log_level: str = "warning"
    """One of `LOG_LEVELS`: the least level of requests that are logged."""
    local_only: bool = False
    """Whether only this machine can reach the server, so that a page may take a path."""

    @property
    def demo(self) -> "ServerSettings":
        """These settings with the store of the demo, which lies in one's own store but is none of its folders."""
        return replace(self, store=self.store / DEMO_FOLDER)

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "ServerSettings":
        environment = os.environ if environment is None else environment
        names = environment.get(_NAMES, " ".join(LOOPBACK_NAMES))  # set to nothing, any name is accepted
        rest = (_STORE, _DATA, _NAMED, _MODELS, _BASE, _LOCAL, PICKS_VARIABLE, _LOG)
        settings = _parse((names, *(environment.get(name, "") for name in rest)))
        return settings if settings.photo_folders else replace(settings, photo_folders=(default_folder(),))

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables from which `ServerSettings.read` restores these settings."""
        return {
            _STORE: str(self.store),
            _DATA: json.dumps([str(folder) for folder in self.photo_folders]),
            _NAMED: "1" if self.folders_named else "0",
            _MODELS: json.dumps(self.models),
            _NAMES: " ".join(self.host_names),
            _BASE: self.base_path,
            _LOCAL: "1" if self.local_only else "",
            _LOG: self.log_level,
            PICKS_VARIABLE: str(self.picks_file or ""),
        }


@lru_cache(maxsize=8)
def _parse(values: tuple[str, ...]) -> ServerSettings:
    """Read the values of the environment variables, "" where unset; a page asks for its settings a hundred times."""
    names, store, data, named, models, base, local, picks, log = values
    folders = _decode_folders(data)
    return ServerSettings(
        store=Path(store or DEFAULT_STORE),
        photo_folders=folders,
        folders_named=bool(folders) and named != "0",
        models=tuple(json.loads(models or "[]")),
        host_names=tuple(names.split()),
        base_path=base,
        log_level=log or "warning",
        picks_file=Path(picks) if picks else None,
        local_only=local == "1",
    )


def default_folder() -> Path:
    """Return the folder whose subfolders are offered if none is named: `dataset` in the working directory."""
    return Path.cwd() / "dataset"


def _decode_folders(text: str) -> tuple[Path, ...]:
    """Read a JSON list, or paths separated as in PATH."""
    paths = json.loads(text) if text.startswith("[") else text.split(os.pathsep)
    return tuple(Path(path) for path in paths if path)


def with_base_path(path: str) -> str:
    """Return the URL path of one of our own routes, including the base path."""
    return os.environ.get(_BASE, "") + path


def large_run() -> int:
    """Return the number of images from which on a run is large: pages then ask its prepared table."""
    return int(os.environ.get(LARGE_RUN_VARIABLE) or _LARGE_RUN)
