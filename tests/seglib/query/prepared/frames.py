"""Random tables with all that a store can hold, and their prepared tables."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seglib.classes import ANIMALS
from seglib.data.image_ids import pack
from seglib.query.prepared.building import _repeats
from seglib.query.prepared.manifest import Manifest, Piece
from seglib.query.prepared.pieces import to_arrow
from seglib.query.prepared.table import PreparedTable
from seglib.store import tags
from seglib.store.store import Store

CLASSES = ("background", "cat", "dog", "dining table", "söfa'; drop")
NAMES = ["cats", "dogs", "Cat", "", "Straße", "ΣΊΣΥΦΟΣ", "a'b", "x%_"]
TEXTS = ["blurred", "Blurred.*", "ÄÖ ü", "İi", "K", "k", "ſ", "", "tab\tnew\nline", "%_\\", "日本"]


def random_frame(seed: int, n: int = 300) -> pd.DataFrame:
    """Rows of one run as `Store.table` gives them, with the scan and without tags; every fifth photo has a copy."""
    rng = np.random.default_rng(seed)

    def pick(names: list, missing: float = 0.15) -> np.ndarray:
        chosen = np.array(names, dtype="object")[rng.integers(0, len(names), n)]
        chosen[rng.random(n) < missing] = None
        return chosen

    def category(names: list, missing: float = 0.15) -> pd.Categorical:
        return pd.Categorical(pick(names, missing))

    def nullable(values: np.ndarray, dtype: str) -> pd.array:
        array = pd.array(values, dtype)
        array[rng.random(n) < 0.2] = pd.NA
        return array

    ids = [hashlib.sha256(b"%d" % (i - i % 5 % 2)).hexdigest()[:32] for i in range(n)]
    frame = pd.DataFrame(
        {
            "dataset": pd.Categorical(np.where(np.arange(n) < 2 * n // 3, "a", "b")),
            "path": pd.array([f"{TEXTS[i % len(TEXTS)]}/{i:04}" for i in range(n)], "str"),
            "split": category(["train", "test"]),
            "label": category(NAMES),
            "width": rng.integers(1, 900, n).astype(np.int32),
            "height": rng.integers(1, 900, n).astype(np.int32),
            "image_id": pd.array(rng.permutation(ids), "str"),
            "bytes": rng.integers(0, 2**40, n),
            "mtime_ns": rng.integers(0, 2**62, n),
            "run": pd.Categorical(["r"] * n),
            "model": pd.Categorical(["m"] * n),
            "grid_width": rng.integers(1, 40, n).astype(np.int32),
            "grid_height": rng.integers(1, 40, n).astype(np.int32),
        }
    )
    area = (frame["grid_width"] * frame["grid_height"]).to_numpy()
    for name in CLASSES:
        pixels = (area * rng.choice([0, 0.004, 0.005, 0.1, 0.3, 1], n)).astype("int32")
        frame[f"px:{name}"] = nullable(pixels, "Int32") if name == "dog" else pixels
    for name in CLASSES:
        blobs = rng.integers(0, 9, n).astype("uint16")
        frame[f"blobs:{name}"] = nullable(blobs, "UInt16") if name == "dog" else blobs
    for name in ("confidence", "entropy", "low_margin"):
        frame[name] = rng.choice([0.1, 0.2, 0.5, 0.7, 0.9, 1, math.nan, *rng.random(5)], n).astype(np.float32)
    frame["dominant"] = category([*CLASSES], 0)
    frame["animal"] = category([*ANIMALS, "none"])
    frame["content"] = category([*ANIMALS, CLASSES[3], "none"])
    frame["label_class"] = category([*ANIMALS, CLASSES[3]])
    frame["column:camera"] = category(["Canon", "Nikon", "it's"])
    frame["column:iso"] = nullable(rng.choice([100, 200, 400, 2**60 + 1], n), "Int64")
    frame["column:focal length"] = rng.choice([-2, 0.1, 35, math.nan, 1e300], n)
    frame["column:good"] = nullable(rng.random(n) < 0.5, "boolean")
    frame["column:note"] = pd.array(pick(TEXTS), "str")
    stamps = pd.Series(
        np.array(["2024-01-31", "2024-02-01T12:00", "1969-12-31T23:59:59"], "M8[us]")[rng.integers(0, 3, n)]
    )
    frame["column:taken"] = stamps.where(rng.random(n) > 0.2)
    return frame


def tag_images(store: Store, frame: pd.DataFrame) -> None:
    images = frame["image_id"].drop_duplicates()
    tags.tag(store, images.iloc[::3], "good")
    tags.tag(store, images.iloc[1::4], "doubtful")
    tags.tag(store, images.iloc[::5], "zwei Wörter")


def prepare_frame(path: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, PreparedTable]:
    """(the frame with its tags, its prepared table in three pieces)."""
    store = Store.create(path)
    tag_images(store, frame)
    folder, pieces = path / "cache" / "tables" / "r", []
    folder.mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), 3)):
        name, part = f"piece-{number}.parquet", frame.iloc[rows].reset_index(drop=True)
        pq.write_table(to_arrow(part), folder / name, row_group_size=50)
        pieces.append(Piece(name, len(part)))
    ids, datasets = pack(pa.array(frame["image_id"])), frame["dataset"].cat.codes.to_numpy(np.int32)
    pq.write_table(_repeats(ids, datasets), folder / "repeats.parquet")
    table = PreparedTable(store, Manifest(folder, "", "", tuple(pieces), (), "repeats.parquet"))
    return tags.add_column(store, frame), table
