"""Store per-image pixel counts of mask pairs, so that comparisons and evaluations never read a mask twice.

Counts are kept as Parquet parts in `compare/<runA>--<runB>/`, `compare/consensus-<8 hex>/` and
`evaluate/<run>--<8 hex of the ground truth>/`, and read back in the form `metrics` expects. Parts are appended like a
run's statistics, so a killed process loses at most the uncommitted rows.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.classes import VOID
from seglib.fileio import parquet_parts
from seglib.metrics.calibration import CONFIDENCE_BINS
from seglib.metrics.confusion import JointCounts
from seglib.metrics.label_quality import QualityCells
from seglib.store.store import Store

CELLS_SCHEMA = pa.schema([("image_id", pa.string()), ("a", pa.uint8()), ("b", pa.uint8()), ("pixels", pa.int64())])
"""Non-zero confusion cells: `a` and `b` are class indices in the masks of the two runs, sorted by run name.

In `TRUTH_CELLS_SCHEMA`, `a` is the ground truth and `b` the run.
"""

CONSENSUS_SCHEMA = pa.schema([("image_id", pa.string()), ("agreeing", pa.int64()), ("compared", pa.int64())])
"""Pixels where all runs predict the same class (`agreeing`), out of those where every run predicts a class that all
runs know (`compared`).
"""

_TRUTH = ("truth", pa.string())
"""Id of the ground truth mask that was counted, because the ground truth file may change."""

TRUTH_CELLS_SCHEMA = CELLS_SCHEMA.append(pa.field(*_TRUTH))
BOUNDARY_SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("class", pa.uint8()), ("hits_prediction", pa.int64())),
        *(("prediction", pa.int64()), ("hits_truth", pa.int64()), ("truth_pixels", pa.int64()), _TRUTH),
    ]
)
"""Results of `boundary.count_matches`, per image and class."""

CALIBRATION_SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("bin", pa.uint8()), ("pixels", pa.int64())),
        *(("confidence", pa.float64()), ("correct", pa.int64()), _TRUTH),
    ]
)
"""Per confidence bin: number of pixels, sum of their confidences, number of correct pixels."""

QUALITY_SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("a", pa.uint8()), ("b", pa.uint8()), ("pixels", pa.int64())),
        *(("doubtful", pa.int64()), ("weighted", pa.float64()), ("weights", pa.float64()), _TRUTH),
    ]
)
"""Non-zero cells of `label_quality.QualitySums`: `a` is the label and `b` the run's class, both as indices of the run.
The cell (255, 255) counts what has no label that the run knows; every image that was scored has it.
"""

PLACEMENT_SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("gain", pa.float32()), ("right", pa.float32()), ("down", pa.float32())),
        _TRUTH,
    ]
)
"""`label_placement.Placement` of each image that was scored."""

_RUNS_FILE = "runs.json"
_RECOUNT = "run again with `verify`, or delete the folder above it, and evaluate again, which recounts it"
COMMIT_IMAGES = 512
COMMIT_SECONDS = 5.0


def pair_folder(store: Store, a: str, b: str) -> Path:
    return store.comparison_folder("--".join(sorted((a, b))))


def consensus_folder(store: Store, runs: Iterable[str]) -> Path:
    """Folder for the consensus of three or more runs, independent of their order; its `runs.json` lists them."""
    digest = hashlib.sha256("\n".join(sorted(runs)).encode()).hexdigest()[:8]
    return store.comparison_folder(f"consensus-{digest}")


def write_run_names(store: Store, folder: Path, runs: Iterable[str]) -> None:
    """Write `runs.json`, which lists the runs of a consensus, unless it exists."""
    if not (folder / _RUNS_FILE).exists():
        store.atomic.write(folder / _RUNS_FILE, json.dumps(sorted(runs), indent=1).encode(), durable=True)


def evaluation_folder(store: Store, run: str, truth: str) -> Path:
    return store.evaluation_folder(f"{run}--{truth}")


def truth_of(evaluation: Path) -> str:
    """The ground truth's id, from the name of an evaluation's folder."""
    return evaluation.name.rpartition("--")[2]


def boundary_folder(evaluation: Path) -> Path:
    return evaluation / "boundary"


def remedy(folder: Path) -> str:
    """How the user can repair a damaged part in this folder."""
    return _RECOUNT if folder.name == boundary_folder(folder.parent).name else parquet_parts.RECOMPUTE_REMEDY


def calibration_folder(evaluation: Path) -> Path:
    return evaluation / "calibration"


def quality_folder(evaluation: Path) -> Path:
    return evaluation / "quality"


def placement_folder(evaluation: Path) -> Path:
    return evaluation / "placement"


def doubts_folder(evaluation: Path) -> Path:
    return evaluation / "doubts"


def doubt_path(evaluation: Path, image_id: str) -> Path:
    """Index PNG of one image: the run's class where the label is doubtful, else 255."""
    return doubts_folder(evaluation) / image_id[:2] / f"{image_id}.png"


def version(store: Store) -> str:
    """Cache key for comparisons and evaluations; changes whenever the counts do."""
    names = sorted(
        (folder.relative_to(store.path) / name).as_posix()
        for folder, _, _ in part_folders(store)
        for name in parquet_parts.list_parts(folder)
    )
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


# --- writing -----------------------------------------------------------------------------------------------------


class CountsWriter:
    """Buffer rows for several folders and commit them together, every 512 images or 5 s.

    The caller commits once more at the end. Each commit writes the folders in the order of `schemas`.
    """

    def __init__(self, store: Store, schemas: Mapping[Path, pa.Schema]) -> None:
        self._store, self._schemas = store, schemas
        self._rows: dict[Path, list[pa.Table]] = {folder: [] for folder in schemas}
        self._images, self._last_commit = 0, time.monotonic()

    def add(self, image_id: str, rows: Mapping[Path, Mapping[str, object]]) -> None:
        """Add the counts of one image: per folder, its columns (equally long lists or arrays) without image_id."""
        for folder, columns in rows.items():
            self._rows[folder].append(_table(image_id, columns, self._schemas[folder]))
        self._images += 1
        if self._images >= COMMIT_IMAGES or time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        for folder, tables in self._rows.items():
            if tables:
                parquet_parts.append(self._store.atomic, folder, pa.concat_tables(tables).combine_chunks())
                tables.clear()
        self._images, self._last_commit = 0, time.monotonic()


def _table(image_id: str, columns: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    arrays = {name: pa.array(values, schema.field(name).type) for name, values in columns.items()}
    length = len(next(iter(arrays.values())))
    arrays["image_id"] = pa.array([image_id] * length, pa.string())
    return pa.table([arrays[name] for name in schema.names], schema=schema)


# --- reading -----------------------------------------------------------------------------------------------------


def counted_ids(folder: Path, schema: pa.Schema) -> set[str]:
    return set(parquet_parts.read(folder, schema, ["image_id"])["image_id"].unique().to_pylist())


def counted_truths(folder: Path, schema: pa.Schema) -> set[tuple[str, str]]:
    """The (image_id, truth) pairs that have been counted."""
    table = parquet_parts.read(folder, schema, ["image_id", "truth"]).group_by(["image_id", "truth"]).aggregate([])
    return set(zip(table["image_id"].to_pylist(), table["truth"].to_pylist(), strict=True))


def read_pair_counts(
    store: Store, a: str, b: str, classes: tuple[Sequence[str], Sequence[str]], image_ids: pd.Index
) -> tuple[JointCounts, NDArray[np.bool_]]:
    """Counts of these images (unique ids) with run `a` first, and a bool array (N,) of the images that have counts."""
    table = parquet_parts.read(pair_folder(store, a, b), CELLS_SCHEMA)
    names = ("a", "b") if a <= b else ("b", "a")
    return _to_joint_counts(table.select(["image_id", *names, "pixels"]), classes, image_ids)


def read_evaluation_counts(
    store: Store, run: str, truth: str, classes: tuple[Sequence[str], Sequence[str]], truths: pd.Series
) -> tuple[JointCounts, NDArray[np.bool_]]:
    """Like `read_pair_counts`, for a ground truth (`a`) and a run (`b`); `truths` maps image_id to ground truth mask
    id.
    """
    table = _select_current(parquet_parts.read(evaluation_folder(store, run, truth), TRUTH_CELLS_SCHEMA), truths)
    return _to_joint_counts(table.select(["image_id", "a", "b", "pixels"]), classes, truths.index)


def read_consensus_counts(
    store: Store, runs: Sequence[str], image_ids: pd.Index
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(agreeing, compared) pixels of these images (unique ids): float64 (N,) each, 0 for images without counts."""
    table = parquet_parts.keep_newest(parquet_parts.read(consensus_folder(store, runs), CONSENSUS_SCHEMA), ["image_id"])
    rows, wanted = _positions(table["image_id"], image_ids)
    columns = [np.zeros(len(image_ids)) for _ in range(2)]
    for column, name in zip(columns, ("agreeing", "compared"), strict=True):
        column[rows[wanted]] = table[name].to_numpy()[wanted]
    return columns[0], columns[1]


def read_boundary_counts(store: Store, run: str, truth: str, truths: pd.Series) -> dict[int, list[NDArray[np.float64]]]:
    """Map class index -> the four columns of `boundary.count_matches`, float64 (N,) each; `truths` as in
    `read_evaluation_counts`.

    An index means the same class in ground truth and prediction.
    """
    folder = boundary_folder(evaluation_folder(store, run, truth))
    table = _select_current(parquet_parts.read(folder, BOUNDARY_SCHEMA, remedy=remedy(folder)), truths)
    table = parquet_parts.keep_newest(table, ["image_id", "class"])
    rows, wanted = _positions(table["image_id"], truths.index)
    classes = table["class"].to_numpy()
    counts = {}
    for index in np.unique(classes[wanted]):
        hit = wanted & (classes == index)
        counts[int(index)] = [np.zeros(len(truths)) for _ in range(4)]
        for column, name in zip(counts[int(index)], BOUNDARY_SCHEMA.names[2:6], strict=True):
            column[rows[hit]] = table[name].to_numpy()[hit]
    return counts


def read_calibration_counts(store: Store, run: str, truth: str, truths: pd.Series) -> list[NDArray[np.float64]]:
    """[pixels, confidence, correct]: float64 (N, bins) each; zeros for images without counts."""
    table = _select_current(
        parquet_parts.read(calibration_folder(evaluation_folder(store, run, truth)), CALIBRATION_SCHEMA), truths
    )
    table = parquet_parts.keep_newest(table, ["image_id", "bin"])
    rows, wanted = _positions(table["image_id"], truths.index)
    columns = [np.zeros((len(truths), CONFIDENCE_BINS)) for _ in range(3)]
    for column, name in zip(columns, ("pixels", "confidence", "correct"), strict=True):
        column[rows[wanted], table["bin"].to_numpy()[wanted]] = table[name].to_numpy()[wanted]
    return columns


def read_quality(
    store: Store, run: str, truth: str, truths: pd.Series, classes: int
) -> tuple[QualityCells, NDArray[np.bool_]]:
    """Label quality of these images, and a bool array (N,) of the images that were scored; `truths` as in
    `read_evaluation_counts`.
    """
    folder = quality_folder(evaluation_folder(store, run, truth))
    table = _select_current(parquet_parts.read(folder, QUALITY_SCHEMA), truths)
    table = parquet_parts.keep_newest(table, ["image_id", "a", "b"])
    rows, wanted = _positions(table["image_id"], truths.index)
    scored = np.zeros(len(truths), bool)
    scored[rows[wanted]] = True
    known = wanted & (table["a"].to_numpy() != VOID)
    columns = (table[name].to_numpy()[known] for name in QUALITY_SCHEMA.names[1:7])
    return QualityCells(len(truths), classes, rows[known], *columns), scored


def read_placements(store: Store, run: str, truth: str, truths: pd.Series) -> list[NDArray[np.float64]]:
    """[gain, right, down] of these images, float64 (N,) each; NaN for images that were not scored."""
    folder = placement_folder(evaluation_folder(store, run, truth))
    table = _select_current(parquet_parts.read(folder, PLACEMENT_SCHEMA), truths)
    rows, wanted = _positions(table["image_id"], truths.index)
    columns = [np.full(len(truths), np.nan) for _ in range(3)]
    for column, name in zip(columns, ("gain", "right", "down"), strict=True):
        column[rows[wanted]] = table[name].to_numpy()[wanted]
    return columns


def _to_joint_counts(
    table: pa.Table, classes: tuple[Sequence[str], Sequence[str]], image_ids: pd.Index
) -> tuple[JointCounts, NDArray[np.bool_]]:
    """Table columns: image_id, first, second, pixels. Cells that two processes both wrote count once."""
    rows, wanted = _positions(table["image_id"], image_ids)
    first, second, pixels = (table.column(i).to_numpy()[wanted] for i in (1, 2, 3))
    image = rows[wanted]
    keys = (image.astype(np.int64) << 16) | (first.astype(np.int64) << 8) | second
    _, once = np.unique(keys, return_index=True)
    counted = np.zeros(len(image_ids), bool)
    counted[image] = True
    return (
        JointCounts(
            len(image_ids), image[once], first[once], second[once], pixels[once], tuple(classes[0]), tuple(classes[1])
        ),
        counted,
    )


def _positions(column: pa.ChunkedArray, image_ids: pd.Index) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(position of each row's image in `image_ids` or -1, whether it is in there)."""
    indices = pc.index_in(column, value_set=pa.array(image_ids, pa.string()))
    rows = indices.fill_null(-1).to_numpy().astype(np.intp)
    return rows, rows >= 0


def _select_current(table: pa.Table, truths: pd.Series) -> pa.Table:
    """Keep the rows that were counted against the current ground truth masks."""
    wanted = truths.reindex(table["image_id"].to_pylist()).to_numpy()
    return table.filter(pa.array(wanted == table["truth"].to_numpy(zero_copy_only=False), pa.bool_()))


# --- care --------------------------------------------------------------------------------------------------------


def part_folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Yield every folder of parts with its schema and the key columns that identify duplicate rows."""
    for folder in store.comparison_folders():
        if _is_consensus(folder):
            yield folder, CONSENSUS_SCHEMA, ("image_id",)
        else:
            yield folder, CELLS_SCHEMA, ("image_id", "a", "b")
    for folder in store.evaluation_folders():
        yield folder, TRUTH_CELLS_SCHEMA, ("image_id", "truth", "a", "b")
        yield boundary_folder(folder), BOUNDARY_SCHEMA, ("image_id", "truth", "class")
        yield calibration_folder(folder), CALIBRATION_SCHEMA, ("image_id", "truth", "bin")
        yield quality_folder(folder), QUALITY_SCHEMA, ("image_id", "truth", "a", "b")
        yield placement_folder(folder), PLACEMENT_SCHEMA, ("image_id", "truth")


def top_folder(folder: Path) -> Path:
    """The comparison or evaluation that a folder of `part_folders` belongs to: itself, or the one above."""
    inner = boundary_folder, calibration_folder, quality_folder, placement_folder
    return folder.parent if folder in [part(folder.parent) for part in inner] else folder


def orphaned_folders(store: Store, runs: Set[str], truths: Set[str]) -> list[Path]:
    """Folders of `compare` and `evaluate` whose run or ground truth no longer exists."""
    pairs = {"--".join((a, b)) for a in runs for b in runs if a < b}
    evaluations = {f"{run}--{truth}" for run in runs for truth in truths}
    orphans = [path for path in store.evaluation_folders() if path.name not in evaluations]
    for path in store.comparison_folders():
        if not _runs_of(path) <= runs if _is_consensus(path) else path.name not in pairs:
            orphans.append(path)
    return orphans


def _is_consensus(comparison: Path) -> bool:
    """Whether the folder holds the consensus of several runs rather than one pair, whose name is `<a>--<b>`."""
    return "--" not in comparison.name


def _runs_of(consensus: Path) -> set[str]:
    """The runs of a consensus; an unknown run `""` if `runs.json` is unreadable, which makes the folder an orphan."""
    try:
        return set(json.loads((consensus / _RUNS_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {""}
