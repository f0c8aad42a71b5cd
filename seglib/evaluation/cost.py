"""What a run costs: time per photo as measured, parameters, operations, the size of its checkpoint.

In: a store and its runs. Out: one row per run; what nobody knows is None. Asks no net and downloads nothing.
Knows nothing of masks and how good they are.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from seglib.data.resize import Resize
from seglib.fileio import parquet_parts
from seglib.models.registry import MODELS, ModelSpec
from seglib.store.records import Run
from seglib.store.schemas import FILES_SCHEMA
from seglib.store.store import Store


def costs(store: Store, runs: Sequence[str]) -> pd.DataFrame:
    """Per run: ms_per_image and images_timed (decoding to the last committed part, all invocations that computed
    something; `device` says where), parameters, gflops per image (mean, at the size at which the net saw it),
    checkpoint_bytes.

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
    return {
        "run": run.run,
        "model": run.model,
        "resize": run.resize,
        "precision": run.precision,
        "device": ", ".join(sorted({str(one["device"]) for one in timed if one.get("device")})) or None,
        "ms_per_image": round(1000 * seconds / images, 2) if images else None,
        "images_timed": images,
        "parameters": run.parameters,
        "gflops": _mean_gflops(store, run, spec) if spec else None,
        "checkpoint_bytes": spec.path.stat().st_size if spec and published and spec.path.exists() else None,
    }


def _mean_gflops(store: Store, run: Run, spec: ModelSpec) -> float | None:
    """Over the pictures that the run has computed."""
    sizes = _photo_sizes(store, store.computed_ids(run.run, run.classes))
    sees = spec.sees(Resize(run.resize))
    each = [(spec.gflops_at(*sees.grid_wh(*size_wh)), photos) for size_wh, photos in sizes.items()]
    known = [gflops * photos for gflops, photos in each if gflops is not None]
    return round(sum(known) / sizes.total(), 3) if known else None


def _photo_sizes(store: Store, image_ids: Collection[str]) -> Counter[tuple[int, int]]:
    """(width, height) -> how many of these pictures have it."""
    columns = ["image_id", "width", "height"]
    read = [parquet_parts.read(store.files_folder(dataset), FILES_SCHEMA, columns) for dataset in store.datasets()]
    rows = parquet_parts.newest(
        pa.concat_tables([pa.schema(FILES_SCHEMA.field(n) for n in columns).empty_table(), *read]), ["image_id"]
    )
    rows = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(image_ids, pa.string())))
    return Counter(zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True))
