"""Measures what it takes to merge many small parts of a run's statistics: seconds, CPU seconds and peak memory.

    python benchmarks/merging.py [--parts 10000] [--rows 100]

Every part is one that a run has written; the rows are synthetic.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from seglib.classes import VOC_CLASSES
from seglib.fileio import parquet_parts
from seglib.fileio.atomic import AtomicWriter
from seglib.store.schemas import stats_schema


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100, help="in each part")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch, parts = AtomicWriter(Path(folder)), Path(folder) / "stats"
        schema = stats_schema(VOC_CLASSES)
        for number in range(arguments.parts):
            parquet_parts.append(scratch, parts, make_rows(schema, number, arguments.rows))
        before = peak_mb()
        started, cpu = time.perf_counter(), time.process_time()
        parquet_parts.merge(scratch, parts, schema, ["image_id"])
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        merged, rows = parquet_parts.list_parts(parts), parquet_parts.count_rows(parts)
        assert rows == arguments.parts * arguments.rows, rows
    took = f"{seconds:.1f} | {cpu:.1f} | {before:,.0f} | {peak_mb():,.0f}"
    print("| parts | rows | merged into | s | CPU s | peak MB before | peak MB |\n|---|---|---|---|---|---|---|")
    print(f"| {arguments.parts:,} | {rows:,} | {len(merged)} | {took} |")


def make_rows(schema: pa.Schema, part: int, rows: int) -> pa.Table:
    rng = np.random.default_rng(part)
    digits = rng.bytes(16 * rows).hex()
    arrays = []
    for field in schema:
        if field.name == "image_id":
            values = [digits[32 * row : 32 * row + 32] for row in range(rows)]
        elif pa.types.is_string(field.type):
            values = ["cat"] * rows
        else:
            values = rng.integers(0, 200, rows).astype(field.type.to_pandas_dtype())
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def peak_mb() -> float:
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1024**2


if __name__ == "__main__":
    main()
