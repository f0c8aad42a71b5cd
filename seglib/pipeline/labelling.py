"""Choose whether images are labelled by their folders or by their files' names, and keep the choice in the store.

Labels are columns of the file index: changing them computes nothing.
"""

import pandas as pd
import pyarrow as pa

from seglib.data.labels import labels_from_names
from seglib.fileio import parquet_parts
from seglib.store.records import Dataset
from seglib.store.schemas import FILES_SCHEMA, VANISHED
from seglib.store.store import Store

LABEL_SOURCES = ("folder", "name")

_LEAST_SHARE = 0.5
"""Of the files, whose names must begin with a word they share; test photos beside them may have numbers alone."""

_SUGGESTED_LABELS = 50
"""More words than this are rather the names of single things."""


def choose_labels(records: pd.DataFrame, stored_files: pd.DataFrame, label_from: str | None) -> pd.DataFrame:
    """The records of a scan, which are labelled by folder, with the labels that are wanted.

    Without a `label_from`, the dataset keeps what its stored rows show.
    """
    if label_from is None:
        known = stored_files.loc[stored_files["reason"] != VANISHED, ["path", "label"]]
        was_by_name = not _agrees(known, records) and known["label"].notna().any() and _agrees(known, _by_name(records))
        label_from = "name" if was_by_name else "folder"
    return _by_name(records) if label_from == "name" else records


def record_labels(
    store: Store, data_set: Dataset, stored_files: pd.DataFrame, records: pd.DataFrame, scan_id: int
) -> None:
    """Add rows with the new split and label for known, unchanged files that were labelled otherwise."""
    known = stored_files[stored_files["reason"] != VANISHED]
    facts = ["path", "bytes", "mtime_ns"]
    joined = known.merge(records, on=facts, suffixes=("_before", ""))
    changed = joined[_differs(joined, "split") | _differs(joined, "label")]
    if len(changed):
        rows = changed.assign(scan=scan_id)[FILES_SCHEMA.names]
        parquet_parts.append(
            store.atomic, store.files_folder(data_set), pa.Table.from_pandas(rows, FILES_SCHEMA, preserve_index=False)
        )


def suggest_names(records: pd.DataFrame) -> str | None:
    """One sentence that offers labels from names, if the folders give no more than one and the names share words."""
    if records["label"].nunique() > 1:
        return None
    counts = pd.Series(labels_from_names(records["path"]), dtype="object").value_counts()
    shared = counts[counts > 1]
    if not 2 <= len(shared) <= _SUGGESTED_LABELS or shared.sum() < _LEAST_SHARE * len(records):
        return None
    words = ", ".join(f"{word!r} ({count})" for word, count in shared.head(3).items())
    more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
    return (
        f"All photos have the same folder label or none, and their names begin with {words}{more}: "
        "set `label_from` to name to take these words as labels."
    )


def _by_name(records: pd.DataFrame) -> pd.DataFrame:
    return records.assign(label=pd.Series(labels_from_names(records["path"]), records.index, dtype="object"))


def _agrees(known: pd.DataFrame, records: pd.DataFrame) -> bool:
    joined = known.merge(records[["path", "label"]], on="path", suffixes=("_before", ""))
    return not _differs(joined, "label").any()


def _differs(joined: pd.DataFrame, column: str) -> "pd.Series[bool]":
    """bool per row: whether the column changed; null equals null."""
    before, after = joined[f"{column}_before"].astype("object"), joined[column].astype("object")
    return (before.where(before.notna(), None) != after.where(after.notna(), None)) & ~(before.isna() & after.isna())
