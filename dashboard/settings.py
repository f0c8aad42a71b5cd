"""Settings that the launcher passes to the server: the store, the offered folders and models, and the server's names
and base path.

They are environment variables, set by `python -m dashboard` and read on each use into a frozen `ServerSettings`; one
process serves one store.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Parent folder of the packages; in a checkout it also holds `dataset/` and `.streamlit/`."""

DEFAULT_STORE = "output"

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names under which a browser on this machine reaches the server."""

_STORE = "SEGLIB_DASHBOARD_STORE"
_DATA = "SEGLIB_DASHBOARD_DATA"
_MODELS = "SEGLIB_DASHBOARD_MODELS"
_NAMES = "SEGLIB_DASHBOARD_NAMES"
_BASE = "SEGLIB_DASHBOARD_BASE"
_LOCAL = "SEGLIB_DASHBOARD_LOCAL"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    store: Path
    photo_folders: tuple[Path, ...]
    """Folders of photos that a page may offer for analysis; clients can name no other path."""
    models: tuple[str, ...] = ()
    """Folders whose models a page may offer, and models as `run --model` takes them; clients can name no others."""
    host_names: tuple[str, ...] = LOOPBACK_NAMES
    """Host names that the server answers to; empty accepts any."""
    base_path: str = ""
    """Base path of a reverse proxy, such as `/photos`; empty at the root."""
    local_only: bool = False
    """Whether only this machine can reach the server, so that a page may take a path."""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "ServerSettings":
        environment = os.environ if environment is None else environment
        data = [Path(text) for text in environment.get(_DATA, "").split(os.pathsep) if text]
        names = environment.get(_NAMES, " ".join(LOOPBACK_NAMES)).split()
        return cls(
            store=Path(environment.get(_STORE) or DEFAULT_STORE),
            photo_folders=tuple(data) or (ROOT / "dataset",),
            models=tuple(json.loads(environment.get(_MODELS) or "[]")),
            host_names=tuple(names),
            base_path=environment.get(_BASE, ""),
            local_only=environment.get(_LOCAL) == "1",
        )

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables from which `ServerSettings.read` restores these settings."""
        return {
            _STORE: str(self.store),
            _DATA: os.pathsep.join(map(str, self.photo_folders)),
            _MODELS: json.dumps(self.models),
            _NAMES: " ".join(self.host_names),
            _BASE: self.base_path,
            _LOCAL: "1" if self.local_only else "",
        }


def with_base_path(path: str) -> str:
    """Return the URL path of one of our own routes, including the base path."""
    return ServerSettings.read().base_path + path
