"""Measures what planning a run costs for millions of files: seconds, CPU seconds and peak memory, for N files.

    python benchmarks/planning.py [--files 1000000 3000000 10000000] [--store FOLDER]

The files are a synthetic listing: none of them exists. The first run plans all of them, and whatever is planned is
taken from the plan without being computed; a run after that finds every file in the store, with the result of its
image, and has nothing to do. Each is a process of its own.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from seglib.compute.worker import ComputeWorker
from seglib.data import scan
from seglib.fileio import parquet_parts
from seglib.fileio.parquet_parts import MERGED_ROWS
from seglib.pipeline.run import run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
MODEL = "unet_mobilenet_v2"
FOLDER = 10_000
"""Files in one folder."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000])
    parser.add_argument("--store", type=Path, help="folder for the stores; by default a temporary one")
    parser.add_argument("--measure", choices=("first", "again"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(arguments.store, arguments.files[0], arguments.measure))
        return
    print("| files | run | s | CPU s | peak MB | to compute | reused |\n|---|---|---|---|---|---|---|")
    for count in arguments.files:
        with tempfile.TemporaryDirectory(dir=arguments.store) as folder:
            for kind in ("first", "again"):
                command = [sys.executable, __file__, "--files", str(count), "--store", folder, "--measure", kind]
                print(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), flush=True)
                if kind == "first":
                    fill(Store(Path(folder) / "store"), count)


def measure(folder: Path, count: int, kind: str) -> str:
    planned = 0

    def drain(_session: object, _worker: object, photos: Iterator[object], _keep: object) -> None:
        nonlocal planned
        planned += sum(1 for _ in photos)

    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    scan._Walk.list_images = lambda *_: listing(count)
    ComputeWorker.stream = lambda worker, photos, keep: drain(None, worker, photos, keep)
    started, cpu = time.perf_counter(), time.process_time()
    report = run(photos, folder / "store", MODEL, precision="fp32")
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert report.images == count
    return f"| {count:,} | {kind} | {seconds:.1f} | {cpu:.1f} | {peak:,.0f} | {planned:,} | {report.reused:,} |"


def listing(count: int) -> Iterator[tuple[str, int, int]]:
    """(path, bytes, mtime_ns) of each file, as a walk through the folder gives them."""
    for number in range(count):
        yield path_of(number), 20_000 + number % 9973, 1_700_000_000_000_000_000 + number


def path_of(number: int) -> str:
    return f"{('cats', 'dogs')[number // FOLDER % 2]}/{number // FOLDER:05}/photo.{number:08}.jpg"


def fill(store: Store, count: int) -> None:
    """Add what a run over these files would have left, except the masks."""
    (dataset,), (this_run,) = store.datasets(), store.runs()
    schema = stats_schema(this_run.classes)
    with store.atomic.register_writer():
        for numbers in (range(start, min(start + MERGED_ROWS, count)) for start in range(0, count, MERGED_ROWS)):
            files = {name: [value] * len(numbers) for name, value in {"width": 500, "height": 375, "scan": 1}.items()}
            listed = [(path_of(n), 20_000 + n % 9973, 1_700_000_000_000_000_000 + n) for n in numbers]
            for name, values in zip(("path", "bytes", "mtime_ns"), zip(*listed, strict=True), strict=True):
                files[name] = list(values)
            files["label"] = [path.split("/")[1] for path in files["path"]]
            ids = [hashlib.sha256(b"%d" % number).hexdigest()[:32] for number in numbers]
            parts = ((store.files_folder(dataset), FILES_SCHEMA, files), (store.stats_folder(this_run), schema, {}))
            for folder, layout, known in parts:
                columns = known | {"image_id": ids}
                arrays = [
                    pa.array(columns[f.name], f.type) if f.name in columns else constant(f, len(ids)) for f in layout
                ]
                parquet_parts.append(store.atomic, folder, pa.Table.from_arrays(arrays, schema=layout))


def constant(field: pa.Field, length: int) -> pa.Array:
    if field.name in ("split", "reason", "detail"):
        return pa.nulls(length, field.type)
    if pa.types.is_string(field.type):
        return pa.array(np.full(length, "none", object), field.type)
    return pa.array(np.zeros(length, field.type.to_pandas_dtype()), field.type)


if __name__ == "__main__":
    main()
