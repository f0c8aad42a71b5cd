"""Measures what a second run costs on an unchanged folder: seconds, files per second and peak memory, for N files.

    python benchmarks/rerun.py [--files 1000 10000 100000] [--runs 5] [--photo-side 64]

The files are hard links to 64 small photos that it makes itself, so the first run computes 64 masks; what is timed is
the whole second process (`python -m seglib run`), which must compute nothing and open no file.
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

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DIFFERENT = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--photo-side", type=int, default=64)
    arguments = parser.parse_args()
    print("| files | first run s | rerun s (median) | files/s | peak memory MB |\n|---|---|---|---|---|")
    for count in arguments.files:
        with tempfile.TemporaryDirectory() as folder:
            print(measure_row(Path(folder), count, arguments.runs, arguments.photo_side), flush=True)


def measure_row(folder: Path, count: int, runs: int, side: int) -> str:
    link_photos(folder / "photos", count, side)
    first, report = run(folder)
    assert report["images"] == count
    seconds = []
    for _ in range(runs):
        took, report = run(folder)
        assert (report["computed"], report["reused"]) == (0, count), report
        seconds.append(took)
    median = statistics.median(seconds)
    return f"| {count:,} | {first:.1f} | {median:.2f} | {count / median:,.0f} | {measure_peak_mb(folder):.0f} |"


def link_photos(folder: Path, count: int, side: int) -> None:
    """`count` hard links to `DIFFERENT` photos, 1,000 in a folder."""
    folder.mkdir()
    for index in range(DIFFERENT):
        noise = np.random.default_rng(index).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(noise).save(folder.parent / f"{index}.jpg")
    for index in range(count):
        below = folder / f"{index // 1000:04}"
        if index % 1000 == 0:
            below.mkdir()
        os.link(folder.parent / f"{index % DIFFERENT}.jpg", below / f"{index:07}.jpg")


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "seglib", "run", str(folder / "photos"), "--store", str(folder / "store"), "--json"]


def run(folder: Path) -> tuple[float, dict]:
    """(wall seconds of the whole process, its report)."""
    started = time.perf_counter()
    done = subprocess.run(command(folder), cwd=ROOT, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, json.loads(done.stdout)


def measure_peak_mb(folder: Path) -> float:
    """MB of resident memory at most, as the process itself says at its end."""
    code = (
        "import resource, sys; from seglib.cli.main import main; main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command(folder)[3:]], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout.splitlines()[-1]) / 1024


if __name__ == "__main__":
    main()
