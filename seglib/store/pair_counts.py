"""What was counted of pairs of masks, kept in the store, so that no mask is read twice for a comparison.

In: counts of images. Out: parts of `compare/<runA>--<runB>/`, `compare/consensus-<8 hex>/` and
`evaluate/<run>--<8 hex of the truth>/`, and what `metrics` asks of them. Appended like a run's statistics, so that a
kill loses at most what is in flight. Knows nothing of how masks are read or counted.
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

from seglib.fileio import parquet_parts
from seglib.metrics.calibration import CONFIDENCE_BINS
from seglib.metrics.confusion import Counts
from seglib.store.store import Store

CELLS = pa.schema([("image_id", pa.string()), ("a", pa.uint8()), ("b", pa.uint8()), ("pixels", pa.int64())])
"""Cells with pixels: the class's index in the first mask (by name of the runs; or in the truth), and in the second."""

CONSENSUS = pa.schema([("image_id", pa.string()), ("agreeing", pa.int64()), ("compared", pa.int64())])
"""Pixels on which all runs name the same class, of those that all name by a class that all know."""

_TRUTH = ("truth", pa.string())
"""Which mask the counts are of: a file of the truth may change."""

TRUTH_CELLS = CELLS.append(pa.field(*_TRUTH))
BOUNDARY = pa.schema(
    [
        *(("image_id", pa.string()), ("class", pa.uint8()), ("hits_prediction", pa.int64())),
        *(("prediction", pa.int64()), ("hits_truth", pa.int64()), ("truth_pixels", pa.int64()), _TRUTH),
    ]
)
"""`boundary.matches`."""

CALIBRATION = pa.schema(
    [
        *(("image_id", pa.string()), ("bin", pa.uint8()), ("pixels", pa.int64())),
        *(("confidence", pa.float64()), ("correct", pa.int64()), _TRUTH),
    ]
)
"""Per bin of confidence: pixels, the sum of their confidences, those that are right."""

_RUNS_FILE = "runs.json"
_RECOUNT = "run again with --verify, or delete the folder above it, and evaluate again, which counts it anew"
COMMIT_IMAGES = 512
COMMIT_SECONDS = 5.0


def pair_folder(store: Store, a: str, b: str) -> Path:
    return store.path / "compare" / "--".join(sorted((a, b)))


def consensus_folder(store: Store, runs: Iterable[str]) -> Path:
    """Of three or more runs, whatever their order; `runs.json` in it says which."""
    digest = hashlib.sha256("\n".join(sorted(runs)).encode()).hexdigest()[:8]
    return store.path / "compare" / f"consensus-{digest}"


def name_runs(store: Store, folder: Path, runs: Iterable[str]) -> None:
    """Write which runs a consensus is of."""
    if not (folder / _RUNS_FILE).exists():
        store.scratch.write(folder / _RUNS_FILE, json.dumps(sorted(runs), indent=1).encode(), durable=True)


def evaluation_folder(store: Store, run: str, truth: str) -> Path:
    return store.path / "evaluate" / f"{run}--{truth}"


def boundary_folder(evaluation: Path) -> Path:
    return evaluation / "boundary"


def remedy(folder: Path) -> str:
    """What to do about a damaged part of this folder."""
    return _RECOUNT if folder.name == boundary_folder(folder.parent).name else parquet_parts.COMPUTE_ANEW


def calibration_folder(evaluation: Path) -> Path:
    return evaluation / "calibration"


def version(store: Store) -> str:
    """Changes whenever counts do: the key of what is cached of comparisons and evaluations."""
    names = sorted(path.relative_to(store.path).as_posix() for path in _every_part(store))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


# --- writing -----------------------------------------------------------------------------------------------------


class Appender:
    """Collects rows for several folders and commits them together: every 512 images or 5 s, and at the end.

    The folders of one commit are written in the order in which they are given here.
    """

    def __init__(self, store: Store, schemas: Mapping[Path, pa.Schema]) -> None:
        self._store, self._schemas = store, schemas
        self._rows: dict[Path, list[pa.Table]] = {folder: [] for folder in schemas}
        self._images, self._last_commit = 0, time.monotonic()

    def add(self, image_id: str, rows: Mapping[Path, Mapping[str, object]]) -> None:
        """What was counted of one image: per folder, columns (lists or arrays of one length) without image_id."""
        for folder, columns in rows.items():
            self._rows[folder].append(_table(image_id, columns, self._schemas[folder]))
        self._images += 1
        if self._images >= COMMIT_IMAGES or time.monotonic() - self._last_commit > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        for folder, tables in self._rows.items():
            if tables:
                parquet_parts.append(self._store.scratch, folder, pa.concat_tables(tables).combine_chunks())
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
    """(image_id, truth) of what was counted."""
    table = parquet_parts.read(folder, schema, ["image_id", "truth"]).group_by(["image_id", "truth"]).aggregate([])
    return set(zip(table["image_id"].to_pylist(), table["truth"].to_pylist(), strict=True))


def pair_counts(
    store: Store, a: str, b: str, classes: tuple[Sequence[str], Sequence[str]], image_ids: pd.Index
) -> tuple[Counts, NDArray[np.bool_]]:
    """The counts of these different images with `a` first, and which of them have any (N,)."""
    table = parquet_parts.read(pair_folder(store, a, b), CELLS)
    names = ("a", "b") if a <= b else ("b", "a")
    return _counts(table.select(["image_id", *names, "pixels"]), classes, image_ids)


def evaluation_counts(
    store: Store, run: str, truth: str, classes: tuple[Sequence[str], Sequence[str]], truths: pd.Series
) -> tuple[Counts, NDArray[np.bool_]]:
    """The same of a run (`b`) against a truth (`a`); `truths` maps image_id to the truth's mask."""
    table = _of_truths(parquet_parts.read(evaluation_folder(store, run, truth), TRUTH_CELLS), truths)
    return _counts(table.select(["image_id", "a", "b", "pixels"]), classes, truths.index)


def consensus_counts(
    store: Store, runs: Sequence[str], image_ids: pd.Index
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(agreeing, compared) pixels of these different images; 0 for those that were not counted."""
    table = parquet_parts.newest(parquet_parts.read(consensus_folder(store, runs), CONSENSUS), ["image_id"])
    at, known = _positions(table["image_id"], image_ids)
    columns = [np.zeros(len(image_ids)) for _ in range(2)]
    for column, name in zip(columns, ("agreeing", "compared"), strict=True):
        column[at[known]] = table[name].to_numpy()[known]
    return columns[0], columns[1]


def boundary_counts(store: Store, run: str, truth: str, truths: pd.Series) -> dict[int, list[NDArray[np.float64]]]:
    """class's index -> four columns as `boundary.matches`, (N,) each; `truths` as in `evaluation_counts`.

    An index is the same in truth and prediction.
    """
    folder = boundary_folder(evaluation_folder(store, run, truth))
    table = _of_truths(parquet_parts.read(folder, BOUNDARY, remedy=remedy(folder)), truths)
    table = parquet_parts.newest(table, ["image_id", "class"])
    at, known = _positions(table["image_id"], truths.index)
    classes = table["class"].to_numpy()
    found = {}
    for index in np.unique(classes[known]):
        hit = known & (classes == index)
        found[int(index)] = [np.zeros(len(truths)) for _ in range(4)]
        for column, name in zip(found[int(index)], BOUNDARY.names[2:6], strict=True):
            column[at[hit]] = table[name].to_numpy()[hit]
    return found


def calibration_counts(store: Store, run: str, truth: str, truths: pd.Series) -> list[NDArray[np.float64]]:
    """pixels, confidence, correct: float64 (N, bins) each; zeros for images that were not counted."""
    table = _of_truths(
        parquet_parts.read(calibration_folder(evaluation_folder(store, run, truth)), CALIBRATION), truths
    )
    table = parquet_parts.newest(table, ["image_id", "bin"])
    at, known = _positions(table["image_id"], truths.index)
    columns = [np.zeros((len(truths), CONFIDENCE_BINS)) for _ in range(3)]
    for column, name in zip(columns, ("pixels", "confidence", "correct"), strict=True):
        column[at[known], table["bin"].to_numpy()[known]] = table[name].to_numpy()[known]
    return columns


def _counts(
    table: pa.Table, classes: tuple[Sequence[str], Sequence[str]], image_ids: pd.Index
) -> tuple[Counts, NDArray[np.bool_]]:
    """Columns: image_id, first, second, pixels. Cells written twice, by two processes, count once."""
    at, known = _positions(table["image_id"], image_ids)
    first, second, pixels = (table.column(i).to_numpy()[known] for i in (1, 2, 3))
    image = at[known]
    keys = (image.astype(np.int64) << 16) | (first.astype(np.int64) << 8) | second
    _, once = np.unique(keys, return_index=True)
    counted = np.zeros(len(image_ids), bool)
    counted[image] = True
    return (
        Counts(
            len(image_ids), image[once], first[once], second[once], pixels[once], tuple(classes[0]), tuple(classes[1])
        ),
        counted,
    )


def _positions(column: pa.ChunkedArray, image_ids: pd.Index) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(place of each row's image among the ids, whether it is one of them)."""
    found = pc.index_in(column, value_set=pa.array(image_ids, pa.string()))
    at = found.fill_null(-1).to_numpy().astype(np.intp)
    return at, at >= 0


def _of_truths(table: pa.Table, truths: pd.Series) -> pa.Table:
    """The rows that are of the truth's present masks."""
    wanted = truths.reindex(table["image_id"].to_pylist()).to_numpy()
    return table.filter(pa.array(wanted == table["truth"].to_numpy(zero_copy_only=False), pa.bool_()))


# --- care --------------------------------------------------------------------------------------------------------


def folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Every folder of parts, its schema, and the columns of which equal rows are one."""
    for folder in sorted((store.path / "compare").glob("*--*")):
        yield folder, CELLS, ("image_id", "a", "b")
    for folder in sorted((store.path / "compare").glob("consensus-*")):
        yield folder, CONSENSUS, ("image_id",)
    for folder in sorted((store.path / "evaluate").glob("*--*")):
        yield folder, TRUTH_CELLS, ("image_id", "truth", "a", "b")
        yield boundary_folder(folder), BOUNDARY, ("image_id", "truth", "class")
        yield calibration_folder(folder), CALIBRATION, ("image_id", "truth", "bin")


def orphans(store: Store, runs: Set[str], truths: Set[str]) -> list[Path]:
    """Folders of `compare` and `evaluate` that speak of a run or a truth that is not there."""
    pairs = {"--".join((a, b)) for a in runs for b in runs if a < b}
    evaluations = {f"{run}--{truth}" for run in runs for truth in truths}
    found = [path for path in store.path.glob("compare/*") if not path.name.startswith("consensus-")]
    gone = [path for path in found if path.name not in pairs]
    gone += [path for path in store.path.glob("evaluate/*") if path.name not in evaluations]
    return gone + [path for path in store.path.glob("compare/consensus-*") if not _runs_of(path) <= runs]


def _runs_of(consensus: Path) -> set[str]:
    """None of a run if it cannot be read: then the folder belongs to nothing."""
    try:
        return set(json.loads((consensus / _RUNS_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {""}


def _every_part(store: Store) -> Iterator[Path]:
    for pattern in ("compare/*/part-*.parquet", "evaluate/*/part-*.parquet", "evaluate/*/*/part-*.parquet"):
        yield from store.path.glob(pattern)
