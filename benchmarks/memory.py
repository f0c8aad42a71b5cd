"""Measures the peak memory of a run over many photos, against that over few: it must not grow with their number.

    python benchmarks/memory.py PHOTOS [--numbers 1000 20000] [--resize 224] [--precision auto]

Each photo is a copy with a trailer of its own behind the JPEG's end marker, so that each has an image_id of its own and
is computed. Printed are, per number of photos, the time and the peak resident memory (VmHWM, sampled every quarter of a
second) of the process, and of it and its decoding processes together.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seglib.data import scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--numbers", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--resize", default="224")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    originals = [arguments.photos / path for path in scan.scan(arguments.photos)["path"]]
    originals = [path for path in originals if path.suffix.lower() in (".jpg", ".jpeg")]
    print("| photos | computed | seconds | peak MB | with decoders MB |")
    print("|---|---|---|---|---|")
    for number in arguments.numbers:
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            photos.mkdir()
            for index, path in enumerate(itertools.islice(itertools.cycle(originals), number)):
                (photos / f"{index:06}.jpg").write_bytes(path.read_bytes() + f"copy {index}".encode())
            options = ["--resize", arguments.resize, "--precision", arguments.precision]
            computed, seconds, main_mb, total_mb = measured_run(photos, Path(folder) / "store", options)
        print(f"| {number:,} | {computed:,} | {seconds:.0f} | {main_mb} | {total_mb} |", flush=True)


def measured_run(photos: Path, store: Path, options: list[str]) -> tuple[int, float, int, int]:
    command = [sys.executable, "-m", "seglib", "run", str(photos), "--store", str(store), *options, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peaks: dict[int, int] = {}
    while process.poll() is None:
        for pid in (process.pid, *children(process.pid)):
            peaks[pid] = max(peaks.get(pid, 0), peak_mb(pid))
        time.sleep(0.25)
    assert process.stdout is not None
    report = json.loads(process.stdout.read())
    return report["computed"], report["seconds"], peaks[process.pid], sum(peaks.values())


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # that thread has ended
            continue
    return found


def peak_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
