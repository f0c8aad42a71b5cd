"""Report the cost of runs: times per image, parameters, operations and checkpoint size.

Input: a store and run names. Output: one row per run; unknown values are None. Runs no model and downloads nothing.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from seglib.data.resize import Resize
from seglib.fileio import parquet_parts
from seglib.maintenance import cost_record
from seglib.maintenance.cost_record import RunCost
from seglib.models.registry import GFLOPS_SIDE, MODELS, ModelSpec
from seglib.store.records import Run
from seglib.store.schemas import FILES_SCHEMA
from seglib.store.store import Store


def costs(store: Store, runs: Sequence[str]) -> pd.DataFrame:
    """One row per run: run, model, resize, precision, device, and its costs.

    `ms_per_image` and `images_timed` cover decoding to the last committed part, over all invocations that computed
    something, with whatever else the machine did; `device` lists where they ran. `latency_ms` is the time of one image
    at a time, as `latency.measure_cost` has measured it, on `latency_device`; `latency_alone` says whether nothing else
    was at work. `gflops` is the mean per image at the model's input size, counted as in torchvision, with a
    multiply-add as one operation, and scaled by the input's area. `parameters` and `checkpoint_bytes` describe the
    model.
    """
    return pd.DataFrame([_cost(store, store.run(name)) for name in runs])


def _cost(store: Store, run: Run) -> dict[str, object]:
    timed = [one for one in run.invocations if one.get("computed")]
    images, seconds = sum(int(one["computed"]) for one in timed), sum(float(one["seconds"]) for one in timed)
    spec = MODELS.get(run.model) if run.weights_sha256 else None
    if spec and run.parameters != spec.parameters:  # a custom model of the same name: operations unknown
        spec = None
    known = cost_record.read(store, run)
    published = spec is not None and bool(spec.sha256) and str(run.weights_sha256).startswith(spec.sha256)
    return {
        "run": run.run,
        "model": run.model,
        "resize": run.resize,
        "precision": run.precision,
        "device": ", ".join(sorted({str(one["device"]) for one in timed if one.get("device")})) or None,
        "ms_per_image": round(1000 * seconds / images, 2) if images else None,
        "images_timed": images,
        "latency_ms": known.latency.ms if known.latency else None,
        "latency_alone": known.latency.alone if known.latency else None,
        "latency_device": known.latency.device if known.latency else None,
        "parameters": run.parameters or known.parameters,
        "gflops": _mean_gflops(store, run, spec, known),
        "checkpoint_bytes": spec.path.stat().st_size if spec and published and spec.path.exists() else None,
    }


def _mean_gflops(store: Store, run: Run, spec: ModelSpec | None, known: RunCost) -> float | None:
    """Mean GFLOPs per image over the images that the run has computed; None if unknown."""
    if spec is not None:
        rule, gflops_at = spec.input_resize(Resize(run.resize)), spec.gflops_at
    elif known.gflops is not None and known.input_rule is not None:
        rule = known.input_rule
        per_pixel = known.gflops / math.prod(rule.grid_wh(GFLOPS_SIDE, GFLOPS_SIDE))

        def gflops_at(width: int, height: int) -> float | None:
            return per_pixel * width * height
    else:
        return None
    sizes = _count_image_sizes(store, store.computed_ids(run))
    each = [(gflops_at(*rule.grid_wh(*size_wh)), photos) for size_wh, photos in sizes.items()]
    totals = [gflops * photos for gflops, photos in each if gflops is not None]
    return round(sum(totals) / sizes.total(), 3) if totals else None


def _count_image_sizes(store: Store, image_ids: Collection[str]) -> Counter[tuple[int, int]]:
    """(width, height) -> number of these images with that size."""
    columns = ["image_id", "width", "height"]
    read = [parquet_parts.read(store.files_folder(dataset), FILES_SCHEMA, columns) for dataset in store.datasets()]
    rows = parquet_parts.keep_newest(
        pa.concat_tables([pa.schema(FILES_SCHEMA.field(n) for n in columns).empty_table(), *read]), ["image_id"]
    )
    rows = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(image_ids, pa.string())))
    return Counter(zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True))
