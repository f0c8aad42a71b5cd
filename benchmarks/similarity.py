"""Measures embeddings: what they find (alike photos, planted near-duplicates), what they cost in a run, search times.

    python benchmarks/similarity.py found PHOTOS [--work FOLDER]    share of the same label among the first 20; recall
    python benchmarks/similarity.py cost PHOTOS [--rounds 5]        a run with and without, in turns; bytes per photo
    python benchmarks/similarity.py speed [--rows 100000 1000000]   seconds and memory of every search

PHOTOS is a folder such as that of Dogs & Cats, with {train,test}* above the labels' folders. Nothing in it is changed:
`found` works on a copy with 20 planted copies of photos (re-encoded, cropped by 5 %, mirrored, brighter; five each),
whose originals are in another split.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageEnhance, ImageOps

from seglib.data import scan
from seglib.data.image import compute_image_id
from seglib.similarity.duplicates import DuplicateRule, find_near_duplicates
from seglib.similarity.embeddings import Embeddings, list_sources, read_embeddings
from seglib.similarity.files import list_files
from seglib.similarity.hashes import read_hashes
from seglib.similarity.neighbours import find_neighbours
from seglib.similarity.outliers import find_outliers
from seglib.similarity.projection import project
from seglib.similarity.search import find_similar
from seglib.store.embeddings import brought
from seglib.store.store import Store

MODELS = ("fcn_mobilenet_v2", "unet_mobilenet_v2")
QUERIES, NUMBER = 100, 20
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": lambda image: image,
    "cropped": lambda image: image.crop(
        (round(0.05 * image.width), round(0.05 * image.height), round(0.95 * image.width), round(0.95 * image.height))
    ),
    "mirrored": ImageOps.mirror,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
}
"""Each of the planted changes; all are saved as JPEG of quality 75. `cropped` loses 5 % of its sides at each edge."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True, dest="part")
    found, cost, speed = (parts.add_parser(name) for name in ("found", "cost", "speed"))
    for command in (found, cost):
        command.add_argument("photos", type=Path)
    found.add_argument("--work", type=Path, help="folder that keeps the photos and the store for another time")
    cost.add_argument("--rounds", type=int, default=5)
    cost.add_argument("--limit", type=int, default=200)
    cost.add_argument("--model", default=MODELS[0])
    speed.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    speed.add_argument("--dimensions", type=int, default=320)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.part == "found":
            measure_found(arguments.photos, arguments.work or Path(folder))
        elif arguments.part == "cost":
            measure_cost(arguments, Path(folder))
        else:
            for rows in arguments.rows:
                measure_speed(rows, arguments.dimensions, Path(folder) / str(rows))


# --- what they find ------------------------------------------------------------------------------------------------


def measure_found(photos: Path, work: Path) -> None:
    planted = plant(photos, work / "photos")
    for model in MODELS:
        run(work / "photos", work / "store", model)
    store = Store(work / "store")
    files = list_files(store)
    hashes = read_hashes(store, files["image_id"])
    print(f"{len(files):,} photos, {len(planted)} of them planted")
    for source in reversed(list_sources(store)):
        for kind in source.kinds:
            measure_alike(read_embeddings(store, source.name, kind), files)
        measure_duplicates(read_embeddings(store, source.name), hashes, files, planted)


def plant(photos: Path, copy: Path) -> pd.DataFrame:
    """Copy the photos and plant changed ones: change, original and planted (image_ids), across (bool: other split)."""
    if not copy.exists():
        shutil.copytree(photos, copy)
    records = scan.scan(photos)
    chosen = records[records["split"] == "train"].sample(20, random_state=0)
    rows = []
    for number, path in enumerate(chosen["path"]):
        change = list(CHANGES)[number % len(CHANGES)]
        across = number < 12
        folder = path.replace("train", "test", 1).replace("testing", "test", 1) if across else path
        target = copy / Path(folder).with_name(f"planted_{number}_{change}.jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(photos / path) as image:
            CHANGES[change](image.convert("RGB")).save(target, quality=75)
        original, planted = ((one).read_bytes() for one in (photos / path, target))
        rows.append((change, compute_image_id(original), compute_image_id(planted), across))
    return pd.DataFrame(rows, columns=["change", "original", "planted", "across"])


def measure_alike(embeddings: Embeddings, files: pd.DataFrame) -> None:
    """Share of the query's label among the first `NUMBER`, mean over `QUERIES` photos of each label."""
    labels = files.drop_duplicates("image_id").set_index("image_id")["label"]
    shares = {}
    for label in sorted(labels.dropna().unique()):
        queries = labels[(labels == label) & labels.index.isin(embeddings.ids.to_pandas())]
        queries = queries.sample(min(QUERIES, len(queries)), random_state=0)
        found = [find_similar(embeddings, [query], NUMBER) for query in queries.index]
        shares[label] = np.mean([(labels.reindex(one["image_id"]) == label).mean() for one in found])
    told = ", ".join(f"{label} {share:.1%}" for label, share in shares.items())
    print(f"{embeddings.source} {embeddings.kind} ({len(embeddings)} vectors): same label among {NUMBER}: {told}")


def measure_duplicates(embeddings: Embeddings, hashes: pd.Series, files: pd.DataFrame, planted: pd.DataFrame) -> None:
    """Recall of the planted ones by change, and pairs that were not planted, for several rules."""
    print(f"| similarity | bits | {' | '.join(CHANGES)} | found of {len(planted)} | across splits | other pairs |")
    print("|---" * (len(CHANGES) + 5) + "|")
    rules = [DuplicateRule(similarity=s, bits=b) for s in (0.85, 0.9, 0.93, 0.95, 0.97) for b in (12, 16, 20, 24, 64)]
    for rule in (DuplicateRule(), *rules):
        found = find_near_duplicates(embeddings, hashes, files, rule)
        group = found.groupby("image_id")["group"].first()
        together = group.reindex(planted["original"]).to_numpy() == group.reindex(planted["planted"]).to_numpy()
        across = found.loc[found["across"].str.contains("splits"), "image_id"]
        leaks = planted["across"] & planted["planted"].isin(across)
        by_change = planted.assign(together=together).groupby("change", sort=False)["together"].sum()
        others = sum(count_others(set(one), planted) for _, one in found.groupby("group")["image_id"])
        told = " | ".join(str(by_change[change]) for change in CHANGES)
        print(
            f"| {rule.similarity} | {rule.bits} | {told} | {together.sum()} | {(leaks & together).sum()} of "
            f"{planted['across'].sum()} | {others} |"
        )


def count_others(images: set[str], planted: pd.DataFrame) -> int:
    """Pairs of a group that were not planted: all of its pairs, less those of an original and its copy."""
    known = sum({one, other} <= images for one, other in zip(planted["original"], planted["planted"], strict=True))
    return len(images) * (len(images) - 1) // 2 - known


# --- what they cost ------------------------------------------------------------------------------------------------


def measure_cost(arguments: argparse.Namespace, work: Path) -> None:
    """Runs with and without embeddings in turns, each in a process and a store of its own."""
    speeds: dict[str, list[float]] = {"without": [], "with": []}
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    for number in range(arguments.rounds + 1):
        for name in list(speeds)[:: -1 if number % 2 else 1]:
            store = work / f"{name}-{number}"
            more = ["--limit", str(arguments.limit), *(["--no-embeddings"] if name == "without" else [])]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            report = run(arguments.photos, store, arguments.model, *more)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if number:  # the first round warms the disk cache
                speeds[name].append(report["images_per_second"])
                cpu[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            if number < arguments.rounds:
                shutil.rmtree(store)
    print("| | images/s (median) | CPU s | all rounds |\n|---|---|---|---|")
    for name, values in speeds.items():
        told = " ".join(f"{value:.1f}" for value in values)
        print(f"| {name} | {statistics.median(values):.2f} | {statistics.median(cpu[name]):.2f} | {told} |")
    ratio = {
        what: statistics.median(one["with"]) / statistics.median(one["without"])
        for what, one in (("images/s", speeds), ("CPU s", cpu))
    }
    print(", ".join(f"{what} with/without {value:.3f}" for what, value in ratio.items()))
    store = work / f"with-{arguments.rounds}"
    for folder in ("embeddings", "stats", "masks"):
        size = sum(file.stat().st_size for file in store.glob(f"runs/*/{folder}/**/*") if file.is_file())
        print(f"{folder}: {size / report['computed']:,.0f} bytes per photo")


def run(photos: Path, store: Path, model: str, *more: str) -> dict:
    command = [sys.executable, "-m", "seglib", "run", str(photos), "--store", str(store), "--model", model, "--json"]
    done = subprocess.run([*command, *more], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)


# --- how fast they are searched --------------------------------------------------------------------------------------


def measure_speed(rows: int, dimensions: int, folder: Path) -> None:
    print(f"\n{rows:,} vectors of {dimensions} dimensions ({rows * dimensions * 2 / 1e6:,.0f} MB)")
    embeddings = make_embeddings(rows, dimensions)
    store = Store.create(folder)
    with timed("write"):
        brought.add_set(store, "set", embeddings.ids.to_pylist(), embeddings.vectors, "set.npz")
    with timed("read"):
        embeddings = read_embeddings(store, "set")
    ids = embeddings.ids
    seconds = []
    for number in range(7):
        started = time.perf_counter()
        find_similar(embeddings, [ids[number].as_py()])
        seconds.append(time.perf_counter() - started)
    print(f"similar to one: {statistics.median(seconds):.3f} s (fastest {min(seconds):.3f}), peak {peak_mb():,.0f} MB")
    with timed("similar to 1,000"):
        find_similar(embeddings, ids[:1000])
    with timed("similar to one among every second"):
        find_similar(embeddings, [ids[0].as_py()], among=ids.take(pa.array(np.arange(0, rows, 2))))
    with timed("PCA"):
        project(embeddings.vectors)
    started = time.perf_counter()
    positions, _ = find_neighbours(embeddings.vectors, 10)
    print(f"10 neighbours of each: {time.perf_counter() - started:.1f} s, recall {recall(embeddings, positions):.3f}")
    if rows <= 200_000:
        with timed("outliers"):
            find_outliers(embeddings)
        with timed("near-duplicates"):
            frame = {"dataset": "a", "split": "train", "label": None, "image_id": ids.to_pandas()}
            files = pd.DataFrame(frame).assign(path=lambda one: one["image_id"])
            hashes = np.random.default_rng(0).integers(0, 1 << 62, rows).astype(np.uint64)
            find_near_duplicates(embeddings, pd.Series(hashes, files["image_id"]), files)


def make_embeddings(rows: int, dimensions: int) -> Embeddings:
    """Vectors in clusters of unequal size and spread, of a lower dimension, as those of photos are."""
    generator = np.random.default_rng(0)
    vectors = np.empty((rows, dimensions), np.float16)
    basis = generator.normal(size=(64, dimensions)).astype(np.float32)
    centres = generator.normal(size=(200, 64)).astype(np.float32)
    for start in range(0, rows, 50_000):
        count = min(50_000, rows - start)
        cluster = generator.zipf(1.3, count) % len(centres)
        spread = generator.uniform(0.2, 1, (count, 1))
        low = centres[cluster] + spread * generator.normal(size=(count, 64))
        block = np.maximum(low.astype(np.float32) @ basis + 2, 0)
        vectors[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return Embeddings(pa.array([f"{number:032x}" for number in range(rows)]), vectors, "set")


def recall(embeddings: Embeddings, positions: np.ndarray) -> float:
    """Share of the exact 10 neighbours of 200 rows that were found."""
    rows = np.random.default_rng(1).choice(len(embeddings), min(200, len(embeddings)), replace=False)
    found = 0
    for row in rows:
        exact = embeddings.positions(find_similar(embeddings, [embeddings.ids[int(row)].as_py()], 10)["image_id"])
        found += len({*exact.tolist()} & {*positions[row].tolist()})
    return found / (10 * len(rows))


class timed:  # noqa: N801
    """Print how long a block took."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        print(f"{self._what}: {time.perf_counter() - self._started:.2f} s, peak {peak_mb():,.0f} MB", flush=True)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
