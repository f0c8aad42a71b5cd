"""Keep what was counted and measured of a run's model, in `runs/<run>/cost.json`.

Runs of older versions have no such record, and older versions ignore it.
"""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from seglib.data.resize import Resize
from seglib.errors import StoreError, UsageError
from seglib.fileio import json_record
from seglib.fileio.lock import lock
from seglib.inference import cost_count
from seglib.inference.config import InferenceConfig
from seglib.models.registry import ModelSpec
from seglib.store.records import Run, find_damaged_records
from seglib.store.store import Store

_REMEDY = "delete the file, and measure the cost of the run again"


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of one photo at a time, from the decoded photo to its mask and measures."""

    ms: float
    """Median of the repeats."""
    repeats: int
    image_wh: tuple[int, int]
    device: str
    cores: int
    """CPU cores that the process may use."""
    busy_share: float | None
    """Share of the machine's CPU time that other processes used before, during or after, at most; None if unknown."""
    alone: bool | None
    """False if other processes were at work, None if that is unknown."""
    measured: str
    """When, in ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """Contents of `cost.json`; None where nobody has counted or measured."""

    parameters: int | None = None
    gflops: float | None = None
    """For one square image with `GFLOPS_SIDE` pixels on a side; a multiply-add counts once."""
    input_rule: Resize | None = None
    """From an image's size to that of the model's input; None if nobody has counted yet."""
    latency: Latency | None = None


def read(store: Store, run: Run) -> RunCost:
    """What is known of the run's cost; nothing if there is no record or it is damaged (see `find_damaged`)."""
    file = store.cost_record(run.run)
    try:
        return _read(file) if file.exists() else RunCost()
    except StoreError:
        return RunCost()


def count_once(store: Store, run: Run, spec: ModelSpec, settings: InferenceConfig) -> None:
    """Count the run's model, unless `MODELS` has its counts or the record does."""
    if cost_count.is_in_table(spec) or read(store, run).input_rule is not None:
        return
    counts = cost_count.count_model(spec, settings)
    keep(store, run, parameters=counts.parameters, gflops=counts.gflops, input_rule=counts.input_rule)


def keep(store: Store, run: Run, **changes: Any) -> None:
    """Change these fields of `RunCost` in the record."""
    with lock(store.path):
        cost = replace(read(store, run), **changes)
        store.atomic.write(store.cost_record(run.run), json_record.encode(_to_record(cost)), durable=True)


def _to_record(cost: RunCost) -> dict[str, Any]:
    """JSON values; of an adapter's own kind of rule, the nearest rule of `Resize`."""
    rule = cost.input_rule
    plain = None if rule is None else {one.name: getattr(rule, one.name) for one in fields(Resize)}
    return asdict(replace(cost, input_rule=None)) | {"input_rule": plain}


def find_damaged(store: Store) -> dict[str, str]:
    """Map run -> error message for each record that cannot be read."""
    return find_damaged_records(store.cost_records(), _read)


def _read(file: Path) -> RunCost:
    record = json_record.read(file, _REMEDY)
    try:
        latency = record.pop("latency")
        rule = record.pop("input_rule")
        cost = RunCost(
            **record,
            input_rule=None if rule is None else Resize(**rule),
            latency=None if latency is None else Latency(**latency | {"image_wh": _as_size(latency["image_wh"])}),
        )
    except (KeyError, TypeError, ValueError, AttributeError, UsageError):
        raise json_record.damaged_error(file, _REMEDY) from None
    if not _is_valid(cost):
        raise json_record.damaged_error(file, _REMEDY)
    return cost


def _as_size(value: Any) -> tuple[int, int]:
    width, height = map(int, value)
    return width, height


def _is_valid(cost: RunCost) -> bool:
    """Check the type of every number, since the file may have been edited by hand."""
    counts = (cost.parameters is None or type(cost.parameters) is int) and (
        cost.gflops is None or (isinstance(cost.gflops, int | float) and cost.input_rule is not None)
    )
    one = cost.latency
    return counts and (
        one is None
        or (
            isinstance(one.ms, int | float)
            and type(one.repeats) is int
            and isinstance(one.device, str)
            and one.alone in (True, False, None)
            and (one.busy_share is None or isinstance(one.busy_share, int | float))
        )
    )
