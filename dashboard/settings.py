"""What the launcher tells the server: where the store is and which folders it may offer.

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

_STORE = "SEGLIB_DASHBOARD_STORE"
_DATA = "SEGLIB_DASHBOARD_DATA"


@dataclass(frozen=True, kw_only=True)
class Settings:
    store: Path
    data: tuple[Path, ...]
    """Folders of photos that a page may offer to analyse; a client can name no other path."""

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        environment = os.environ if environment is None else environment
        data = [Path(text) for text in environment.get(_DATA, "").split(os.pathsep) if text]
        return cls(store=Path(environment.get(_STORE) or DEFAULT_STORE), data=tuple(data) or (ROOT / "dataset",))

    def environment(self) -> dict[str, str]:
        """The variables that `read` turns back into these settings."""
        return {_STORE: str(self.store), _DATA: os.pathsep.join(map(str, self.data))}
