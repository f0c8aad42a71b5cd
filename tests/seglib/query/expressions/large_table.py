"""A table of many rows with fields of every kind, and ten expressions with the pandas filters that they stand for."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from seglib.query.columns import label_agreement


def make_table(rows: int = 100_000, seed: int = 0) -> pd.DataFrame:
    """Random rows in the layout of `Store.table`, with own columns; a tenth of most values is missing."""
    rng = np.random.default_rng(seed)

    def category(*names: str | None, missing: float = 0.1) -> pd.Categorical:
        codes = rng.integers(0, len(names), rows).astype(np.int8)
        codes[rng.random(rows) < missing] = -1
        return pd.Categorical.from_codes(codes, pd.Index(names, dtype="str"))

    def gaps(values: np.ndarray, dtype: str) -> pd.Series:
        return pd.Series(values, dtype=dtype).mask(rng.random(rows) < 0.1)

    iso = gaps(rng.choice([100, 200, 400, 800, 1600], rows), "Int64")
    taken = np.datetime64("2023-01-01", "us") + rng.integers(0, 500 * 86_400, rows).astype("timedelta64[s]")
    label = category("cats", "dogs", "others")
    label_class = pd.Series(label).map({"cats": "cat", "dogs": "dog"}).astype("category")
    return pd.DataFrame(
        {
            "path": pd.Series([f"{n % 97:02}/{n:06}.jpg" for n in range(rows)], dtype="str"),
            "split": category("train", "val", "test"),
            "label": label,
            "label_class": label_class,
            "content": category("cat", "dog", "none"),
            "confidence": gaps(rng.random(rows), "float32"),
            "width": rng.integers(100, 4000, rows),
            "grid_width": 64,
            "grid_height": 48,
            "px:background": rng.integers(0, 3073, rows).astype("int32"),
            "px:cat": (rng.random(rows) ** 3 * 3072).astype("int32"),
            "px:dining table": gaps((rng.random(rows) ** 9 * 3072).astype("int32"), "Int32"),
            "blobs:cat": gaps(rng.integers(0, 5, rows), "UInt16"),
            "tags": category("doubtful", "doubtful|good", "good", missing=0.7),
            "column:camera": category("Canon", "Nikon", "Sony α7", "X100"),
            "column:iso": iso,
            "column:taken": gaps(taken, "datetime64[us]"),
            "column:good": gaps(rng.random(rows) < 0.5, "boolean"),
        }
    )


def _share(table: pd.DataFrame, name: str) -> pd.Series:
    return table[f"px:{name}"].astype("Float64").astype("float64") / (table["grid_width"] * table["grid_height"])


def _known(values: pd.Series) -> pd.Series:
    """With False for what is missing, as every comparison has it."""
    return values.astype("boolean").fillna(False).astype(bool)


EXPRESSIONS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "share.cat > 0.1 and (label = dogs or not agreement = agrees)": lambda t: (
        (_share(t, "cat") > 0.1) & ((t["label"] == "dogs") | ~(label_agreement(t).astype("object") == "agrees"))
    ),
    "confidence < 60% or confidence is missing": lambda t: (t["confidence"] < 0.6) | t["confidence"].isna(),
    "label in (cats, dogs) and split != train": lambda t: t["label"].isin(["cats", "dogs"]) & (t["split"] != "train"),
    'share."dining table" >= 5% and not present = cat': lambda t: (
        (_share(t, "dining table") >= 0.05) & ~(_share(t, "cat") >= 0.005)
    ),
    "path contains 13/ and width >= 1024": lambda t: t["path"].str.contains("13/", regex=False) & (t["width"] >= 1024),
    "tag = doubtful and tag != good": lambda t: (
        _known(t["tags"].astype("str").str.contains("doubtful")) & ~_known(t["tags"].astype("str").str.contains("good"))
    ),
    'camera in (Canon, "Sony α7") or iso > 400': lambda t: (
        t["column:camera"].isin(["Canon", "Sony α7"]) | _known(t["column:iso"] > 400)
    ),
    "taken >= 2023-06-01 and taken <= 2023-06-30": lambda t: (
        (t["column:taken"] >= "2023-06-01") & (t["column:taken"] < "2023-07-01")
    ),
    "not (good = true or blobs.cat in (0, 1))": lambda t: (
        ~(_known(t["column:good"]) | _known(t["blobs:cat"].isin([0, 1])))
    ),
    "label = cats and (share.cat < 1% or width < 200) or label is missing and confidence > 0.9": lambda t: (
        ((t["label"] == "cats") & ((_share(t, "cat") < 0.01) | (t["width"] < 200)))
        | (t["label"].isna() & (t["confidence"] > np.float32(0.9)))
    ),
}
"""Expression -> the same filter in plain pandas."""
