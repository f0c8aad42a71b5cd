"""What the launcher tells the server: where the store is, which folders it may offer, under which address it is shown.

In: environment variables, set by `python -m dashboard`. Out: a frozen `Settings`. Read anew at each use, since one
process serves one store. Knows nothing of Streamlit.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Where the packages lie; in a checkout also `dataset/` and `.streamlit/`."""

DEFAULT_STORE = "output"

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""Under which a browser on this machine finds it."""

_STORE = "SEGLIB_DASHBOARD_STORE"
_DATA = "SEGLIB_DASHBOARD_DATA"
_NAMES = "SEGLIB_DASHBOARD_NAMES"
_BASE = "SEGLIB_DASHBOARD_BASE"


@dataclass(frozen=True, kw_only=True)
class Settings:
    store: Path
    data: tuple[Path, ...]
    """Folders of photos that a page may offer to analyse; a client can name no other path."""
    names: tuple[str, ...] = LOOPBACK_NAMES
    """Hosts under whose names the server answers; none means any."""
    base: str = ""
    """Path below which a reverse proxy shows the server, such as `/photos`; empty at the root."""

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
        """The variables that `read` turns back into these settings."""
        return {
            _STORE: str(self.store),
            _DATA: os.pathsep.join(map(str, self.data)),
            _NAMES: " ".join(self.names),
            _BASE: self.base,
        }


def own_address(path: str) -> str:
    """Where a browser finds one of our own routes."""
    return Settings.read().base + path
