"""Builds the synthetic stores that the dashboard's benchmarks show: N rows, two runs, photos, thumbnails and masks.

    python benchmarks/synthetic.py STORE [--rows 100000] [--photos dataset/sample] [--seed 0]

A real `seglib run` of the given photos comes first, at two sizes. Each synthetic row then takes one of these photos
at random: its own path and image_id, its photo, thumbnail and masks as hard links, so that every page of the gallery
can be visited and every file can be asked for. Its numbers are the photo's own with the foreground scaled by 0.7 to
1.3 and further classes strewn in, so that values differ from row to row as they do in a real store and a mask shows
nearly what its row says; 4 % lie in the wrong folder. Parts have 100,000 rows, as after `seglib`'s own merge.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE
from seglib.fileio import parquet_parts
from seglib.fileio.parquet_parts import MERGED_ROWS
from seglib.masks.statistics import CONFIDENCE_COLUMNS, blobs_column, dominant_animal, dominant_class, pixels_column
from seglib.store.embeddings import brought
from seglib.store.records import Dataset, Run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
SIZES = ("224", "192x144")
"""`--resize` of the two runs."""

MOST_LINKS = 50_000
"""ext4 allows 65,000 names of one file; then a copy takes over."""

_WRONG_FOLDER = 0.04
_EXTRA_CLASS_CHANCE = 0.04
"""Chance of each class to be added to a photo that it was not seen in."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--photos", type=Path, default=ROOT / "dataset" / "sample")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.perf_counter()
    build(arguments.store, arguments.rows, arguments.photos, arguments.seed)
    print(f"{arguments.rows:,} rows in {time.perf_counter() - started:.0f} s")


def build(path: Path, rows: int, photos: Path, seed: int = 0) -> None:
    """Make a store at `path`; its photos lie beside it, at `<path>-photos`. What is there already is taken as it is."""
    if (path / "built").exists():
        return
    template = Store(_real_store(path.with_name("real"), photos))
    shutil.rmtree(path, ignore_errors=True)
    folder = path.with_name(f"{path.name}-photos")
    shutil.rmtree(folder, ignore_errors=True)
    store = Store.create(path)
    folder.mkdir()
    dataset = store.register_dataset(folder)
    runs = template.runs()
    for run in runs:
        run_json = store.path / "runs" / run.run / "run.json"
        run_json.parent.mkdir(parents=True)
        shutil.copyfile(template.path / "runs" / run.run / "run.json", run_json)
    link = HardLinker()
    rng = np.random.default_rng(seed)
    with store.atomic.register_writer():
        for start in range(0, rows, MERGED_ROWS):
            _add(store, dataset, template, runs, range(start, min(start + MERGED_ROWS, rows)), link, rng)
    (path / "built").touch()


def _real_store(path: Path, photos: Path) -> Path:
    if path.exists() and [one.root for one in Store(path).datasets()] != [photos.resolve()]:
        shutil.rmtree(path)  # of another folder of photos
    for size in SIZES:
        command = [sys.executable, "-m", "seglib", "run", str(photos), "--store", str(path), "--resize", size, "--json"]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        assert json.loads(done.stdout.splitlines()[-1])["failed"] == 0, done.stdout
    return path


class HardLinker:
    """Hard links to a few files, over the file system's limit of names per file."""

    def __init__(self) -> None:
        self._used: dict[Path, int] = {}
        self._present: dict[Path, Path] = {}

    def __call__(self, source: Path, target: Path) -> None:
        if self._used.get(source, MOST_LINKS) >= MOST_LINKS:
            shutil.copy2(source, target)  # keeps the time, which the row tells
            self._used[source], self._present[source] = 1, target
            return
        os.link(self._present[source], target)
        self._used[source] += 1


def _add(
    store: Store,
    dataset: Dataset,
    pattern: Store,
    runs: list[Run],
    numbers: range,
    link: HardLinker,
    rng: np.random.Generator,
) -> None:
    """One part of the file index and one of each run's statistics, and all pictures of these rows."""
    (real,) = pattern.datasets()
    known = pattern.table([runs[0].run])
    chosen = rng.integers(0, len(known), len(numbers))
    digits = rng.bytes(16 * len(numbers)).hex()
    ids = [digits[32 * i : 32 * i + 32] for i in range(len(numbers))]
    labels = known["label"].astype("object").fillna("others").to_numpy()[chosen].copy()
    wrong = rng.random(len(numbers)) < _WRONG_FOLDER
    labels[wrong] = rng.choice(np.array(["cats", "dogs"], dtype="object"), wrong.sum())
    splits = rng.choice(["train", "val", "test"], len(numbers), p=[0.7, 0.1, 0.2])
    paths = [f"{s}/{lb}/{lb[:3]}.{n:07}.jpg" for s, lb, n in zip(splits, labels, numbers, strict=True)]
    files = pattern.files(real).set_index("path").loc[known["path"]].iloc[chosen].reset_index()
    files = files.assign(path=paths, image_id=ids, split=splits, label=labels, scan=1)
    for run in runs:
        stats = _stats(pattern.stats(run).set_index("image_id").loc[known["image_id"]], chosen, run, rng)
        stats.insert(0, "image_id", ids)
        table = pa.Table.from_pandas(stats, stats_schema(run.classes), preserve_index=False)
        parquet_parts.append(store.atomic, store.stats_folder(run), table)
    parquet_parts.append(
        store.atomic, store.files_folder(dataset), pa.Table.from_pandas(files, FILES_SCHEMA, preserve_index=False)
    )
    _link_pictures(store, dataset, pattern, runs, known, chosen, list(zip(ids, paths, strict=True)), link)


def _stats(known: pd.DataFrame, chosen: NDArray[np.int64], run: Run, rng: np.random.Generator) -> pd.DataFrame:
    """`stats_schema` without image_id: the real rows, varied."""
    names = list(run.classes)
    background = names.index(BACKGROUND)
    area = (known["grid_width"] * known["grid_height"]).to_numpy()[chosen]
    share = known[[pixels_column(n) for n in names]].to_numpy()[chosen] / area[:, None]  # (N, C)
    share *= rng.uniform(0.7, 1.3, (len(chosen), 1))
    strewn = rng.random(share.shape) < _EXTRA_CLASS_CHANCE
    share += strewn * rng.beta(1, 8, share.shape)
    share[:, background] = 0
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1)
    pixels = np.floor(share * area[:, None]).astype(np.int32)
    pixels[:, background] = area - pixels.sum(axis=1)
    blobs = np.where(pixels >= PRESENT_SHARE * area[:, None], rng.geometric(0.7, pixels.shape), 0).astype(np.uint16)
    columns: dict[str, object] = {name: known[name].to_numpy()[chosen] for name in ("grid_width", "grid_height")}
    columns |= {pixels_column(name): pixels[:, i] for i, name in enumerate(names)}
    columns |= {blobs_column(name): blobs[:, i] for i, name in enumerate(names)}
    for name in CONFIDENCE_COLUMNS:
        varied = known[name].to_numpy()[chosen] + rng.normal(0, 0.02, len(chosen))
        columns[name] = np.clip(varied, 0.001, 0.999).astype(np.float32)
    foreground = pixels.copy()
    foreground[:, background] = 0
    columns["dominant"] = np.array(names, dtype="object")[foreground.argmax(axis=1)]  # all 0: the first, background
    cat, dog = (pixels[:, names.index(name)] for name in ANIMALS)
    columns["animal"] = np.select([(cat == 0) & (dog == 0), cat >= dog], ["none", ANIMALS[0]], ANIMALS[1])
    for i in range(0, len(chosen), max(len(chosen) // 50, 1)):  # as the library itself would say it
        assert columns["dominant"][i] == dominant_class(pixels[i], names)
        assert columns["animal"][i] == dominant_animal(pixels[i], names)
    return pd.DataFrame(columns)


def _link_pictures(
    store: Store,
    dataset: Dataset,
    pattern: Store,
    runs: list[Run],
    known: pd.DataFrame,
    chosen: NDArray[np.int64],
    rows: list[tuple[str, str]],
    link: HardLinker,
) -> None:
    root = pattern.datasets()[0].root
    real = list(zip(known["image_id"], known["path"], strict=True))
    made: set[Path] = set()
    for index, (image_id, path) in zip(chosen, rows, strict=True):
        source_id, source_path = real[index]
        pairs = [(root / source_path, dataset.root / path)]
        pairs.append((pattern.thumbnail_path(source_id), store.thumbnail_path(image_id)))
        pairs += [(pattern.mask_path(run.run, source_id), store.mask_path(run.run, image_id)) for run in runs]
        for source, target in pairs:
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            link(source, target)


def add_vectors(path: Path, dimensions: int = 320, seed: int = 0) -> None:
    """Add a set of embeddings `synthetic` unless it is there: around one of 40 centres per photo, those of its label
    closer together. As long as those of the embedded FCN by default.
    """
    store = Store(path)
    if store.embedding_record("synthetic").exists():
        return
    rng = np.random.default_rng(seed)
    files = pd.concat([store.files(dataset) for dataset in store.datasets()])
    codes, names = pd.factorize(files["label"])
    centres = rng.normal(0, 1, (len(names), 1, dimensions)) + rng.normal(0, 0.6, (len(names), 40, dimensions))
    vectors = np.empty((len(files), dimensions), np.float16)
    for start in range(0, len(files), MERGED_ROWS):
        part = slice(start, start + MERGED_ROWS)
        own = codes[part]
        near = centres[own, rng.integers(0, 40, len(own))].astype(np.float32)
        vectors[part] = near + rng.normal(0, 0.5, near.shape).astype(np.float32)
    brought.add_set(store, "synthetic", files["image_id"].tolist(), vectors, "synthetic.npz")


if __name__ == "__main__":
    main()
