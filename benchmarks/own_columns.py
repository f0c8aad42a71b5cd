"""Measures what five own columns cost: seconds of `Store.table` without and with them, of adding and filtering them.

    python benchmarks/own_columns.py [--rows 100000 1000000] [--repeats 5]

The store holds file rows and statistics of 21 classes alone, no photos and no masks. The columns are a category of 300
values, whole numbers, numbers with gaps, dates with times, and texts that are all different. They are added once by
path, in the order of the files, and once by image_id in a random order, which needs a hash join.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

import seglib
from seglib.classes import VOC_CLASSES
from seglib.fileio import parquet_parts
from seglib.masks.statistics import blobs_column, pixels_column
from seglib.query.statistics import sort_positions
from seglib.store.own_columns import log
from seglib.store.records import Run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store

FILTERS = ("column.place=place 7", "column.iso=100..400", "column.gain=0.2..0.3", "column.taken=2024-01-01..2024-03-31")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print("| rows | key | add s | table without s | table with s | filter s | sort s |\n|---|---|---|---|---|---|---|")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            store = build(Path(folder), rows)
            for key in ("path", "image_id"):
                print(measure(store, Path(folder), rows, key, arguments.repeats), flush=True)


def build(folder: Path, rows: int) -> Store:
    store = Store.create(folder / "store")
    dataset = store.register_dataset(folder)
    numbers = np.arange(rows)
    ids = pd.Series(numbers).map("{:032x}".format)
    files = pd.DataFrame(
        {
            **{"path": pd.Series(numbers).map("folder/{:09}.jpg".format), "bytes": 1, "mtime_ns": 1, "image_id": ids},
            **{
                "width": 400,
                "height": 300,
                "split": None,
                "label": "folder",
                "reason": None,
                "detail": None,
                "scan": 1,
            },
        }
    )
    parquet_parts.append(
        store.atomic, store.files_folder(dataset), pa.Table.from_pandas(files, FILES_SCHEMA, preserve_index=False)
    )
    run = Run(
        **{"run": "fake-8-00000000", "model": "fake", "resize": "8", "precision": "fp32", "classes": VOC_CLASSES},
        **{"weights_sha256": None, "parameters": 1, "created": "2024-01-01T00:00:00", "recipe": {}, "versions": {}},
    )
    store.write_run(run)
    rng = np.random.default_rng(0)
    measures = {name: rng.random(rows, np.float32) for name in ("confidence", "entropy", "low_margin")}
    stats = pd.DataFrame(
        {
            **{"image_id": ids, "grid_width": 224, "grid_height": 224},
            **{pixels_column(name): rng.integers(0, 2000, rows, np.int32) for name in VOC_CLASSES},
            **{blobs_column(name): rng.integers(0, 3, rows, np.uint16) for name in VOC_CLASSES},
            **{**measures, "dominant": "cat", "animal": "cat"},
        }
    )
    schema = stats_schema(VOC_CLASSES)
    parquet_parts.append(
        store.atomic, store.stats_folder(run), pa.Table.from_pandas(stats, schema, preserve_index=False)
    )
    return store


def measure(store: Store, folder: Path, rows: int, key: str, repeats: int) -> str:
    without = median_seconds(store.table, repeats)
    file = write_columns(folder, rows, key)
    add = median_seconds(lambda: seglib.add_columns(store, file, key=key), 1)
    with_columns = median_seconds(store.table, repeats)
    table = store.table()
    assert table["column:gain"].notna().sum() == rows - len(range(0, rows, 7))
    filters = [seglib.Filters.decode(text) for text in FILTERS]
    filter_seconds = max(median_seconds(lambda one=one: seglib.select(table, one), repeats) for one in filters)
    names = ("column.place", "column.iso", "column.taken", "column.note")
    sort = max(median_seconds(lambda one=one: sort_positions(table, one), repeats) for one in names)
    log.undo(store)
    return f"| {rows:,} | {key} | {add:.2f} | {without:.2f} | {with_columns:.2f} | {filter_seconds:.3f} | {sort:.2f} |"


def write_columns(folder: Path, rows: int, key: str) -> Path:
    rng = np.random.default_rng(1)
    order = np.arange(rows) if key == "path" else rng.permutation(rows)
    names = pd.Series(order).map(("folder/{:09}.jpg" if key == "path" else "{:032x}").format)
    gain = pd.Series(rng.random(rows).round(6))
    gain[order % 7 == 0] = np.nan
    minutes = pd.to_timedelta(rng.integers(0, 2 * 365 * 24 * 60, rows), "min")
    frame = pd.DataFrame(
        {
            **{key: names, "place": pd.Series(order % 300).map("place {}".format), "iso": order % 32 * 100},
            **{"gain": gain, "taken": pd.Timestamp("2023-01-01") + minutes},
            "note": pd.Series(order).map("note {} on this photo".format),
        }
    )
    file = folder / f"{key}.csv"
    frame.to_csv(file, index=False)
    return file


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
