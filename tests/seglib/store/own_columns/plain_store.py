"""A store with four photos that no model has seen, and the columns that a test adds to it."""

import pandas as pd
import pyarrow as pa

from seglib.fileio import parquet_parts
from seglib.store.own_columns import adding
from seglib.store.own_columns.options import ColumnOptions
from seglib.store.records import Run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store

PATHS = ["cats/a.jpg", "cats/b.jpg", "dogs/c.jpg", "dogs/d.jpg"]
CLASSES = ("background", "cat", "dog")


def image_id(path: str) -> str:
    return f"{sum(path.encode()):032x}"


def add_dataset(store: Store, root, paths) -> str:
    root.mkdir(parents=True, exist_ok=True)
    dataset = store.register_dataset(root)
    rows = [
        {"path": path, "bytes": 1, "mtime_ns": 1, "image_id": image_id(path), "width": 8, "height": 8, "split": None}
        | {"label": path.partition("/")[0], "reason": None, "detail": None, "scan": 1}
        for path in paths
    ]
    parquet_parts.append(store.atomic, store.files_folder(dataset), pa.Table.from_pylist(rows, FILES_SCHEMA))
    return dataset.id


def add_run(store: Store, name: str, paths) -> None:
    run = Run(
        run=name, model="fake", resize="8", precision="fp32", classes=CLASSES, weights_sha256=None, parameters=1,
        created="2024-01-01T00:00:00", recipe={}, versions={},
    )  # fmt: skip
    store.write_run(run)
    rows = [
        {"image_id": image_id(path), "grid_width": 8, "grid_height": 8, "dominant": "cat", "animal": "cat"}
        | {"px:background": 0, "px:cat": 64, "px:dog": 0, "blobs:background": 0, "blobs:cat": 1, "blobs:dog": 0}
        | {"confidence": 0.5, "entropy": 0.5, "low_margin": 0.5}
        for path in paths
    ]
    parquet_parts.append(store.atomic, store.stats_folder(run), pa.Table.from_pylist(rows, stats_schema(CLASSES)))


def add(store: Store, text: str | bytes, **options) -> adding.ColumnsReport:
    data = text.encode() if isinstance(text, str) else text
    return adding.keep_columns(store, adding.read_columns(store, data, "file.csv", ColumnOptions(**options)))


def column(store: Store, name: str) -> list:
    values = store.table()[f"column:{name}"]
    return [None if pd.isna(value) else value for value in values.tolist()]


def lines(*values: str, header: str = "path,x") -> str:
    return "\n".join([header, *(f'{path},"{value}"' for path, value in zip(PATHS, values, strict=False))])
