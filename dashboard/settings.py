"""Settings that the launcher passes to the server: the store, the offered folders, and the server's names and base
path.

They are environment variables, set by `python -m dashboard` and read on each use into a frozen `Settings`; one process
serves one store.
"""

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
_NAMES = "SEGLIB_DASHBOARD_NAMES"
_BASE = "SEGLIB_DASHBOARD_BASE"


@dataclass(frozen=True, kw_only=True)
class Settings:
    store: Path
    data: tuple[Path, ...]
    """Folders of photos that a page may offer for analysis; clients can name no other path."""
    names: tuple[str, ...] = LOOPBACK_NAMES
    """Host names that the server answers to; empty accepts any."""
    base: str = ""
    """Base path of a reverse proxy, such as `/photos`; empty at the root."""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        environment = os.environ if environment is None else environment
        data = [Path(text) for text in environment.get(_DATA, "").split(os.pathsep) if text]
        names = environment.get(_NAMES, " ".join(LOOPBACK_NAMES)).split()
        return cls(
            store=Path(environment.get(_STORE) or DEFAULT_STORE),
            data=tuple(data) or (ROOT / "dataset",),
            names=tuple(names),
            base=environment.get(_BASE, ""),
        )

    def environment(self) -> dict[str, str]:
        """Return the environment variables from which `read` restores these settings."""
        return {
            _STORE: str(self.store),
            _DATA: os.pathsep.join(map(str, self.data)),
            _NAMES: " ".join(self.names),
            _BASE: self.base,
        }


def own_address(path: str) -> str:
    """Return the URL path of one of our own routes, including the base path."""
    return Settings.read().base + path
