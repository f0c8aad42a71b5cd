"""Measures a run on one machine, in two parts, and on a Ray cluster of two simulated nodes, against each other.

    python benchmarks/cluster.py PHOTOS [--rounds 3] [--limit 500] [--remote s3://BUCKET/PREFIX]

In each round all ways compute the same photos in fp32, each into a store of its own, and the next round begins with
another way. The nodes are processes of this machine with one CPU each, on the loopback address, and are there before
the first round. With `--remote`, the cluster also reads the same photos from there. Printed are the medians of:

- images/s: what the run says itself, from the first decoded photo to the last committed part (the parts: both together,
  by the slower one);
- start-up: the rest of the wall time, such as starting Python, loading the model, connecting, and starting actors.

Masks, thumbnails, statistics, files and the run's name must be equal to those of the run on one machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from seglib.store.store import Store  # noqa: E402
from tests.reliability.harness import ray_nodes  # noqa: E402 - before ray: it keeps the nodes to the loopback address
from tests.reliability.harness.scene import differences  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", default="500")
    parser.add_argument("--model", default="fcn_mobilenet_v2")
    parser.add_argument("--remote", help="the same photos on object storage")
    arguments = parser.parse_args()
    photos = str(arguments.photos.resolve())
    common = ["--model", arguments.model, "--limit", arguments.limit, "--precision", "fp32", "--json"]
    with ray_nodes.start_nodes(2) as nodes, tempfile.TemporaryDirectory() as folder:
        on = ["--on", f"ray://{nodes.address}"]
        ways = {
            "one machine": [[photos]],
            "two parts": [[photos, "--part", "1/2"], [photos, "--part", "2/2"]],
            "Ray, two nodes": [[photos, *on]],
        }
        if arguments.remote:
            ways["Ray, from object storage"] = [[arguments.remote, *on]]
        figures: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(arguments.rounds):
            order = list(ways)
            for way in order[number % len(order) :] + order[: number % len(order)]:
                store = Path(folder) / f"{number} {way}"
                figures[way].append(measure([[*one, "--store", str(store), *common] for one in ways[way]]))
                print(
                    f"round {number + 1}  {way:<26}" + "  ".join(f"{one:8.2f}" for one in figures[way][-1]), flush=True
                )
            expected = comparable(Path(folder) / f"{number} one machine")
            for way in order[1:]:
                found = differences(comparable(Path(folder) / f"{number} {way}"), expected)
                print(f"round {number + 1}  {way}: {found or 'equal'}", flush=True)
    print(f"{'median':<36}{'images/s':>8}  {'start-up':>8}")
    for way, rows in figures.items():
        print(f"{way:<36}" + "  ".join(f"{statistics.median(column):8.2f}" for column in zip(*rows, strict=True)))


def measure(runs: list[list[str]]) -> tuple[float, float]:
    """(images/s, seconds of start-up) of processes that run at the same time."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # Ray's own
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "seglib", "run", *one],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for one in runs
    ]
    reports = []
    for process in processes:
        out, err = process.communicate()
        if process.returncode:
            sys.exit(err)
        reports.append(json.loads(out))
    wall, seconds = time.monotonic() - began, max(one["seconds"] for one in reports)
    return sum(one["computed"] for one in reports) / seconds, wall - seconds


def comparable(store: Path) -> dict[str, object]:
    """What a store holds, without the number of its parts, and without what a folder and a bucket cannot share: the
    id of the dataset, times and ETags.
    """
    found = ray_nodes.content_in_any_order(store)
    (dataset,) = Store(store).datasets()
    for name in ("files", "folders"):
        found[name] = sorted({path.replace(dataset.id, "dataset") for path in found[name]})
    files = Store(store).files(dataset).drop(columns=["scan", "mtime_ns", "etag"])
    return found | {f"files {dataset.name}": files.sort_values("path").to_csv(index=False)}


if __name__ == "__main__":
    main()
