"""What a run costs: time per photo as measured, parameters, operations, the size of its checkpoint.

In: a store and its runs. Out: one row per run; what nobody knows is None. Asks no net and downloads nothing.
Knows nothing of masks and how good they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from seglib import parts
from seglib.catalog import Run
from seglib.models import MODELS, ModelSpec
from seglib.store import Store
from seglib.table import stats_schema


def costs(store: Store, runs: Sequence[str]) -> pd.DataFrame:
    """Per run: ms_per_image and images_timed (decoding to the last committed part, all invocations that computed
    something; `device` says where), parameters, gflops per image at the run's own mean grid, checkpoint_bytes.

    GFLOPs as torchvision counts them, a multiplication and its addition as one: `ModelSpec.gflops_at`.
    """
    return pd.DataFrame([_cost(store, store.run(name)) for name in runs])


def _cost(store: Store, run: Run) -> dict[str, object]:
    timed = [one for one in run.invocations if one.get("computed")]
    images, seconds = sum(int(one["computed"]) for one in timed), sum(float(one["seconds"]) for one in timed)
    spec = MODELS.get(run.model) if run.weights_sha256 else None
    if spec and run.parameters != spec.parameters:  # somebody's own net of this name: nobody counted its operations
        spec = None
    published = spec is not None and bool(spec.sha256) and str(run.weights_sha256).startswith(spec.sha256)
    columns = ["image_id", "grid_width", "grid_height"]
    read = parts.read(store.stats_folder(run), stats_schema(run.classes), columns)
    grids = parts.newest(read, columns[:1]).to_pandas().value_counts(columns[1:]).to_dict()
    return {
        "run": run.run,
        "model": run.model,
        "resize": run.resize,
        "precision": run.precision,
        "device": ", ".join(sorted({str(one["device"]) for one in timed if one.get("device")})) or None,
        "ms_per_image": round(1000 * seconds / images, 2) if images else None,
        "images_timed": images,
        "parameters": run.parameters,
        "gflops": _mean_gflops(spec, grids) if spec else None,
        "checkpoint_bytes": spec.path.stat().st_size if spec and published and spec.path.exists() else None,
    }


def _mean_gflops(spec: ModelSpec, grids: Mapping[Any, int]) -> float | None:
    """Over pictures; `grids` counts them by (width, height)."""
    each = [(spec.gflops_at(width, height), pictures) for (width, height), pictures in grids.items()]
    known = [gflops * pictures for gflops, pictures in each if gflops is not None]
    return round(sum(known) / sum(grids.values()), 3) if known else None
