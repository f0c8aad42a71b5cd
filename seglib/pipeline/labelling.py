"""Choose whether images are labelled by their folders or by their files' names, and keep the choice in the store.

Labels are columns of the file index, and which classes they name is found when the table is read: changing either
computes nothing.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from seglib.annotations.class_names import fold_label, name_classes
from seglib.data.labels import labels_from_names
from seglib.errors import UsageError
from seglib.fileio import parquet_parts
from seglib.models.registry import ModelSpec
from seglib.pipeline.planning import FileIndex, split_by_path
from seglib.store import content
from seglib.store.records import Dataset
from seglib.store.schemas import FILES_SCHEMA, VANISHED
from seglib.store.store import Store

LABEL_SOURCES = ("folder", "name")

_LEAST_SHARE = 0.5
"""Of the files, whose names must begin with a word they share; test photos beside them may have numbers alone."""

_SUGGESTED_LABELS = 50
"""More words than this are rather the names of single things."""


def choose_labels(records: pd.DataFrame, index: FileIndex, label_from: str | None) -> pd.DataFrame:
    """The records of a scan, which are labelled by folder, with the labels that are wanted.

    Without a `label_from`, the dataset keeps what its stored rows show.
    """
    if label_from is None:
        by_folder = _agrees(index, records) or not _has_labels(index, records)
        label_from = "folder" if by_folder or not _agrees(index, _by_name(records)) else "name"
    return _by_name(records) if label_from == "name" else records


def record_labels(store: Store, data_set: Dataset, index: FileIndex, records: pd.DataFrame, scan_id: int) -> None:
    """Add rows with the new split and label for known, unchanged files that were labelled otherwise."""
    for paths, some in split_by_path(records):
        joined = _present(index.read(paths)).merge(some, on=["path", "bytes", "mtime_ns"], suffixes=("_before", ""))
        changed = joined[_differs(joined, "split") | _differs(joined, "label")]
        if len(changed):
            rows = changed.assign(scan=scan_id)[FILES_SCHEMA.names]
            table = pa.Table.from_pandas(rows, FILES_SCHEMA, preserve_index=False)
            parquet_parts.append(store.atomic, store.files_folder(data_set), table)


def suggest_names(records: pd.DataFrame) -> str | None:
    """One sentence that offers labels from names, if the folders give no more than one and the names share words."""
    if records["label"].nunique() > 1:
        return None
    counts = _by_name(records)["label"].value_counts()
    shared = counts[counts > 1]
    if not 2 <= len(shared) <= _SUGGESTED_LABELS or shared.sum() < _LEAST_SHARE * len(records):
        return None
    words = ", ".join(f"{word!r} ({count})" for word, count in shared.head(3).items())
    more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
    return (
        f"All photos have the same folder label or none, and their names begin with {words}{more}: "
        "set `label_from` to name to take these words as labels."
    )


def update_label_map(
    store: Store, data_set: Dataset, records: pd.DataFrame, label_map: Mapping[str, str] | None, spec: ModelSpec
) -> list[str]:
    """Keep the dataset's label map, if one is given; returns sentences on labels and classes that it cannot match.

    Raises `UsageError` if it names none of the dataset's labels.
    """
    labels = [str(label) for label in records["label"].dropna().unique()]
    notes = []
    if label_map is not None:
        folded = {fold_label(label) for label in labels}
        unknown = [label for label in label_map if fold_label(label) not in folded]
        if len(unknown) == len(label_map):
            raise UsageError(
                f"The label map names {_some(unknown)}, none of which is a label here "
                f"({_some(labels) if labels else 'no photo has a label'}): write lines such as label = class."
            )
        if unknown:
            notes.append(f"The label map names {_some(unknown)}: no photo here has such a label.")
        content.keep_label_map(store, data_set, label_map)
        named = list(dict.fromkeys(name for name in label_map.values() if name))
        if missing := [name for name, found in name_classes(named, spec.classes, {}).items() if not found]:
            notes.append(f"{spec.name} knows no class {_some(missing)}, which the label map names.")
    found = content.find_named_classes(labels, spec.classes, content.read_label_map(store, data_set))
    for label, fits in found.ambiguous.items():
        notes.append(f"The label {label!r} fits the classes {_some(fits)}: say which with `label_map`.")
    return notes


def _some(names: Sequence[str]) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more


def _by_name(records: pd.DataFrame) -> pd.DataFrame:
    names = labels_from_names(pa.array(records["path"], pa.large_string()))
    return records.assign(label=pd.Series(names.to_pandas().array, records.index))


def _agrees(index: FileIndex, records: pd.DataFrame) -> bool:
    """Whether the files of the index that are still there have these labels."""
    for paths, some in split_by_path(records):
        known = _present(index.read(paths))[["path", "label"]]
        joined = known.merge(some[["path", "label"]], on="path", suffixes=("_before", ""))
        if _differs(joined, "label").any():
            return False
    return True


def _has_labels(index: FileIndex, records: pd.DataFrame) -> bool:
    ranges = split_by_path(records)
    return any(_present(index.read(paths))["label"].notna().any() for paths, _ in ranges)


def _present(stored_files: pd.DataFrame) -> pd.DataFrame:
    return stored_files[stored_files["reason"] != VANISHED]


def _differs(joined: pd.DataFrame, column: str) -> "pd.Series[bool]":
    """bool per row: whether the column changed; null equals null."""
    before, after = joined[f"{column}_before"].astype("object"), joined[column].astype("object")
    return (before.where(before.notna(), None) != after.where(after.notna(), None)) & ~(before.isna() & after.isna())
