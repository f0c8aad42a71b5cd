"""Which class each folder's label names, and which of these classes a photo shows most: the table's `label_class` and
`content`.

Both are computed when the table is read, from the stored pixel counts, so a label map takes effect at once. The map of
a dataset is kept in `datasets/<id>/labels.json`; older versions ignore it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from seglib.annotations.class_names import clean_label_map, fold_label, name_classes
from seglib.classes import ANIMALS
from seglib.errors import UsageError
from seglib.fileio import json_record
from seglib.masks.statistics import pixels_column
from seglib.store.layout import StoreLayout
from seglib.store.records import Dataset, Run, find_damaged_records

if TYPE_CHECKING:
    from pathlib import Path

    from seglib.store.store import Store

NO_CONTENT = "none"
"""`content` of a photo that has no pixel of any class that the labels name."""

CONTENT_COLUMNS = ("content", "label_class")

_REMEDY = "give the dataset's label map again, or delete the file"


@dataclass(frozen=True)
class NamedClasses:
    """What the labels of one dataset mean to one run."""

    of_label: Mapping[str, str]
    """Label -> the class that it names; labels that name none are missing."""
    candidates: tuple[str, ...]
    """The classes of the run among which `content` is chosen; the first of equals wins."""
    ambiguous: Mapping[str, tuple[str, ...]]
    """Label -> the classes that it fits equally well, so that it names none."""


def find_named_classes(labels: Sequence[str], classes: Sequence[str], label_map: Mapping[str, str]) -> NamedClasses:
    """What the labels of a dataset mean to a run with these classes.

    Cat and dog belong together, as in the column `animal`: where a label names one of them, those that the run knows
    are candidates, and a label names either even if the run knows only the other.
    """
    fits = name_classes(labels, classes, label_map)
    named = {label: found[0] for label, found in fits.items() if len(found) == 1}
    if known := [name for name in ANIMALS if name in classes]:
        unnamed = [label for label, found in fits.items() if not found]
        animals = name_classes(unnamed, ANIMALS, label_map)
        named |= {label: found[0] for label, found in animals.items() if found}
    chosen = set(named.values()) & set(classes)
    if not set(named.values()).isdisjoint(ANIMALS):
        chosen |= set(known)
    return NamedClasses(
        of_label=named,
        candidates=(*(name for name in known if name in chosen), *(n for n in classes if n in chosen - set(known))),
        ambiguous={label: found for label, found in fits.items() if len(found) > 1},
    )


class LabelledFiles:
    """The datasets and labels of a table of files, as codes per row."""

    def __init__(self, files: pa.Table, label_maps: Mapping[str, Mapping[str, str]]) -> None:
        """`label_maps`: name of the dataset -> its label map."""
        self._datasets, dataset_names = _codes(files["dataset"])
        self._labels, self._label_names = _codes(files["label"])
        self._maps = [label_maps[name] for name in dataset_names]
        self._used = [np.unique(self._labels[self._datasets == code]) for code in range(len(dataset_names))]

    def add_columns(self, table: pa.Table, run: Run, places: NDArray[np.intp]) -> pa.Table:
        """Append `CONTENT_COLUMNS` to a run's rows; `places` are the positions of its rows among the files."""
        names = [*run.classes, *(name for name in ANIMALS if name not in run.classes)]
        everywhere = len(places) == len(self._labels)
        datasets, labels = (codes if everywhere else codes[places] for codes in (self._datasets, self._labels))
        content = np.full(len(places), -1, np.int32)
        label_class = np.full(len(places), -1, np.int32)
        for dataset, (used, label_map) in enumerate(zip(self._used, self._maps, strict=True)):
            used_names = {self._label_names[code]: code for code in used if code >= 0}
            found = find_named_classes(list(used_names), run.classes, label_map)
            if not found.candidates:
                continue
            rows = slice(None) if len(self._maps) == 1 else np.flatnonzero(datasets == dataset)
            class_of = np.full(len(self._label_names) + 1, -1, np.int32)  # the last one is for code -1 (null)
            for label, name in found.of_label.items():
                class_of[used_names[label]] = names.index(name)
            label_class[rows] = class_of[labels[rows]]
            content[rows] = _largest(table, found.candidates, rows, [names.index(n) for n in found.candidates], names)
        for column, codes in zip(CONTENT_COLUMNS, (content, label_class), strict=True):
            values = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), [*names, NO_CONTENT])
            table = table.append_column(column, values)
        return table


def _largest(
    table: pa.Table,
    candidates: Sequence[str],
    rows: slice | NDArray[np.intp],
    codes: Sequence[int],
    names: Sequence[str],
) -> NDArray[np.int32]:
    """Code of the candidate with the most pixels, per row; `len(names)` if none has any."""
    most: NDArray[np.int32] | None = None
    for name, code in zip(candidates, codes, strict=True):
        pixels = table[pixels_column(name)].fill_null(0).to_numpy()[rows]
        if most is None:
            most, winner = np.zeros_like(pixels), np.full(len(pixels), len(names), np.int32)
        is_larger = pixels > most
        winner[is_larger] = code
        np.maximum(most, pixels, out=most)
    return winner


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """(code of each row, names) of a dictionary column; -1 is null."""
    array = column.unify_dictionaries().combine_chunks()
    return array.indices.fill_null(-1).to_numpy(), array.dictionary.to_pylist()


# --- the label map of a dataset ----------------------------------------------------------------------------------


def read_label_map(store: StoreLayout, dataset: Dataset) -> dict[str, str]:
    """The label map of a dataset, empty if it has none. Raises `DamagedFileError`."""
    file = store.label_map_record(dataset.id)
    return _read(file) if file.exists() else {}


def keep_label_map(store: "Store", dataset: Dataset, label_map: Mapping[str, str]) -> None:
    """Write the label map in place of the one before; an empty one removes it. Raises `UsageError`."""
    file = store.label_map_record(dataset.id)
    if not label_map:
        file.unlink(missing_ok=True)
        return
    value = json_record.encode({"labels": clean_label_map(label_map.items(), "The label map")})
    if not file.exists() or file.read_bytes() != value:
        store.atomic.write(file, value, durable=True)


def find_damaged(store: StoreLayout) -> dict[str, str]:
    """Map dataset id -> error message for each label map that cannot be read."""
    return find_damaged_records(store.label_map_records(), _read)


def _read(file: "Path") -> dict[str, str]:
    labels = json_record.read(file, _REMEDY).get("labels")
    if not isinstance(labels, dict) or not all(isinstance(name, str) for name in labels.values()):
        raise json_record.damaged_error(file, _REMEDY)
    try:
        return clean_label_map(labels.items(), "The label map")
    except UsageError:
        raise json_record.damaged_error(file, _REMEDY) from None


def describe_labels(store: "Store", dataset: Dataset) -> pd.DataFrame:
    """One row per label of a dataset's photos, sorted by label: label, photos, class, mapped.

    `class` is what it names to the store's runs, empty if nothing, `a or b` if it fits several equally well; `mapped`
    says whether the label map names it.
    """
    files = store.files(dataset)
    counts = files.loc[files["reason"].isna(), "label"].value_counts().sort_index()
    label_map = read_label_map(store, dataset)
    labels = [str(label) for label in counts.index]
    fits: dict[str, dict[str, None]] = {label: {} for label in labels}
    for classes in {run.classes: None for run in store.runs()}:
        found = find_named_classes(labels, classes, label_map)
        for label in labels:
            several = " or ".join(found.ambiguous.get(label, ()))
            if name := found.of_label.get(label, several):
                fits[label][name] = None
    mapped = {fold_label(label) for label in label_map}
    return pd.DataFrame(
        {
            "label": labels,
            "photos": counts.to_numpy(),
            "class": [", ".join(fits[label]) for label in labels],
            "mapped": [fold_label(label) in mapped for label in labels],
        }
    )
