"""Masks as single files and in packs: files, bytes, seconds of `seglib pack`, and the time to read one mask.

    PYTHONPATH=. python benchmarks/packs.py FOLDER --store STORE [--masks 1000000] [--kills 20]

FOLDER must not exist: a store of that many masks is made in it, hard links to the masks of the newest run of STORE,
and is left there. Warm: in the page cache. Cold: the file's pages are dropped before each reading
(POSIX_FADV_DONTNEED), its name and folder are not. With `--kills`, `seglib pack` is killed (SIGKILL) that often at
seeded random moments before it ends, and what is readable is checked after each.
"""

import argparse
import hashlib
import itertools
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from seglib.masks import png
from seglib.store.pictures.picture_folder import PictureFolder
from seglib.store.records import Run
from seglib.store.store import Store

SAMPLE = 2000
LINKS = 50_000
"""Hard links per file; ext4 allows 65,000."""

SEED = 27


def generate(folder: Path, pattern: Store, masks: int) -> tuple[Store, Run, list[str]]:
    """A store with one run of this many masks; returns it, and the image_ids."""
    store, source = Store.create(folder), pattern.run()
    run = store.keep_run(source)
    originals = [pattern.masks(source.run).read(image_id) for image_id in pattern.stats(source)["image_id"]]
    pictures, ids = store.masks(run.run), []
    for shard in range(256):
        (pictures.folder / f"{shard:02x}").mkdir(parents=True)
    copies: list[Path] = []
    for number in range(masks):
        image_id = hashlib.sha256(str(number).encode()).hexdigest()[:32]
        path, which = pictures.path(image_id), number % len(originals)
        if number // len(originals) % LINKS == 0:
            path.write_bytes(originals[which])
            copies[which : which + 1] = [path]
        else:
            os.link(copies[which], path)
        ids.append(image_id)
    return store, run, ids


def drop_from_cache(pictures: PictureFolder, image_id: str) -> None:
    path = pictures.path(image_id)
    if not path.exists():
        found = pictures.find_packed(image_id)
        assert found is not None
        path = found[0].path
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def time_reads(pictures: PictureFolder, ids: list[str], before: Callable[[str], None]) -> str:
    """Median and 95th percentile in ms."""
    times = []
    for image_id in ids:
        before(image_id)
        began = time.perf_counter()
        pictures.read(image_id)
        times.append(1000 * (time.perf_counter() - began))
    return f"{statistics.median(times):.3f} ({statistics.quantiles(times, n=20)[-1]:.3f})"


def measure(store: Store, run: Run, ids: list[str], what: str) -> None:
    pictures = store.masks(run.run)
    sample = random.Random(SEED).sample(ids, min(SAMPLE, len(ids)))
    files = size = on_disk = 0
    for folder, _, names in os.walk(pictures.folder):
        sizes = [os.stat(os.path.join(folder, name)).st_size for name in names]
        files, size = files + len(sizes), size + sum(sizes)
        on_disk += sum(-(-one // 4096) * 4096 for one in sizes)  # as if none were linked
    time_reads(pictures, sample, lambda _: None)
    warm = time_reads(pictures, sample, lambda _: None)
    cold = time_reads(pictures, sample, lambda image_id: drop_from_cache(pictures, image_id))
    print(f"| {what} | {files:,} | {size / 1e6:,.0f} | {on_disk / 1e6:,.0f} | {warm} | {cold} |", flush=True)


def kill_in_the_middle(store: Store, run: Run, ids: list[str], kills: int) -> None:
    pictures, seeded = store.masks(run.run), random.Random(SEED)
    expected = {image_id: png.decode_index_png(pictures.read(image_id)) for image_id in seeded.sample(ids, 200)}
    command = [sys.executable, "-m", "seglib", "pack", "--store", str(store.path)]
    at_work = 0
    for number in itertools.count():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        if at_work < kills:
            while process.poll() is None and not list(store.path.glob(f"tmp/*.{process.pid}.*")):
                time.sleep(0.01)  # it has not begun to write
            time.sleep(seeded.uniform(0, 4))
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        at_work += code == -signal.SIGKILL
        print(
            f"  {'killed' if code else 'ended'}: {sum(pack.pictures for pack in pictures.packs()):,} in packs",
            flush=True,
        )
        for image_id, mask in expected.items():
            assert (store.mask(run.run, image_id) == mask).all(), (number, image_id)
        if code == 0:
            break
    left, packed = sum(1 for _ in pictures.single_files()), sum(pack.pictures for pack in pictures.packs())
    print(f"killed {at_work} times, then finished: {left} single files, {packed:,} of {len(ids):,} masks in packs")
    assert all(pictures.exists(image_id) for image_id in ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", required=True, help="a store whose newest run gives the masks")
    parser.add_argument("--masks", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=0)
    arguments = parser.parse_args()
    began = time.perf_counter()
    store, run, ids = generate(arguments.folder, Store(arguments.store), arguments.masks)
    print(f"{len(ids):,} masks made in {time.perf_counter() - began:.0f} s\n")
    print("| | files | MB | MB on disk | read one, warm: ms (p95) | cold: ms (p95) |\n|---|---|---|---|---|---|")
    measure(store, run, ids, "single files")
    if arguments.kills:
        kill_in_the_middle(store, run, ids, arguments.kills)
    else:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seglib", "pack", "--store", str(store.path)], check=True)
        wall, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        measure(store, run, ids, "packs")
        busy = used.ru_utime + used.ru_stime
        print(f"\npacked in {wall:.0f} s ({busy:.0f} s of CPU); peak memory {used.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
