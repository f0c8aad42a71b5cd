"""Measures `seglib run` of two source trees against each other, such as a branch and the commit it began with.

    git worktree add ../before main
    python benchmarks/two_versions.py ../before . PHOTOS [--rounds 5] [--model fcn_mobilenet_v2]

Each run is a process of its own with a new store. In each round both trees run, and the next round begins with the
other one, so that what else the machine does falls on both. Printed are the medians, and the second tree's ratio to the
first (above 1: better) of:

- images/s: what the run says itself, from the first decoded photo to the last committed part;
- wall: seconds from the process's start to its end;
- CPU: seconds of the process and its decoding processes, which is the steadier figure on a busy machine.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees", type=Path, nargs=2)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="fcn_mobilenet_v2")
    arguments = parser.parse_args()
    trees = [tree.resolve() for tree in arguments.trees]
    figures: dict[Path, list[tuple[float, float, float]]] = {tree: [] for tree in trees}
    for number in range(arguments.rounds):
        for tree in trees if number % 2 == 0 else reversed(trees):
            figures[tree].append(measure(tree, arguments.photos.resolve(), arguments.model))
            print(
                f"round {number + 1} {tree.name:<12} " + "  ".join(f"{one:8.2f}" for one in figures[tree][-1]),
                flush=True,
            )
    print(f"{'median':<20} {'images/s':>8}  {'wall s':>8}  {'CPU s':>8}")
    medians = [[statistics.median(values) for values in zip(*figures[tree], strict=True)] for tree in trees]
    for tree, row in zip(trees, medians, strict=True):
        print(f"{tree.name:<20} " + "  ".join(f"{one:8.2f}" for one in row))
    (rate, wall, cpu), (new_rate, new_wall, new_cpu) = medians
    print(f"{'ratio':<20} {new_rate / rate:8.3f}  {wall / new_wall:8.3f}  {cpu / new_cpu:8.3f}")


def measure(tree: Path, photos: Path, model: str) -> tuple[float, float, float]:
    """(images/s, wall seconds, CPU seconds) of one run of this tree's program."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--model", model, "--store", folder, "--precision", "fp32", "--json"]
        command = [sys.executable, "-m", "seglib", "run", str(photos), *options]
        began = time.monotonic()
        with (Path(folder) / "report.json").open("wb") as out:
            process = subprocess.Popen(
                command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, stdout=out, stderr=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        if status:
            sys.exit(f"{' '.join(command)} in {tree} ended with {os.waitstatus_to_exitcode(status)}.")
        report = json.loads((Path(folder) / "report.json").read_text())
        return float(report["images_per_second"]), wall, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
