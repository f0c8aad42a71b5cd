"""Look up the int8 models of a store: `int8/<model>-<resize>-<8 hex>/`, each with a `calibration.json`."""

import json
from pathlib import Path

from seglib.store.store import Store

CALIBRATION_RECORD = "calibration.json"


def recorded_sha256(folder: Path) -> str | None:
    """SHA-256 of the model as recorded in `calibration.json`; None if that file cannot be read."""
    try:
        return str(json.loads((folder / CALIBRATION_RECORD).read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unused_folders(store: Store) -> list[Path]:
    """Folders of models that no run of the store uses."""
    used = {run.recipe.get("quantised_sha256") for run in store.runs()}
    return [folder for folder in store.int8_folders() if recorded_sha256(folder) not in used]
