"""Find which photo each row of a file is about: by its path, by its file name, or by its image_id.

`find_photos` reads the key that the user names, or finds the only one that fits; what fits nothing, or several photos,
raises `UsageError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.data.photo_root import PhotoRoot
from seglib.errors import UnknownName, UsageError
from seglib.store.own_columns.options import AUTO, KEYS, ColumnOptions
from seglib.store.own_columns.reading import RawFile

DATASET_COLUMN = "dataset"
"""If a file has this column, and it names datasets of the store, it says which dataset a path belongs to."""

_KEY_WORDS = {"path": "path", "stem": "file name", "image_id": "image_id"}
_SAMPLE = 1_000
"""So many values of a column are looked up before all of them are."""

_USUAL_NAMES = frozenset(
    (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_name", "image_path"),
        *("photo", "name", "stem", "id", "image_id", "bild", "datei", "dateiname", "foto", "pfad"),
    )
)
"""Of two columns that both fit, the one that is called so names the photos."""

_SEPARATOR = "\x1f"
_MAX_DEPTH = 8
"""Folders that a file's paths may have above that of the dataset."""


class PhotoIndex:
    """The photos of a store, by everything that may name them."""

    def __init__(self, files: pa.Table, roots: Mapping[str, PhotoRoot]) -> None:
        """`files`: dataset, path and image_id of each; `roots`: name of a dataset -> its folder."""
        self.files, self._roots = files, roots

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def paths(self) -> pa.Array:
        return pc.utf8_normalize(self.files["path"].combine_chunks(), form="NFC")

    @cached_property
    def whole_paths(self) -> tuple[pa.Array, NDArray[np.int64]]:
        """(paths that begin with the name of their dataset, the positions of these photos), if there are several
        datasets; without those that are the path of a photo already.
        """
        if len(self._roots) == 1:  # folders above that of the dataset are cut off anyway
            return pa.array([], pa.string()), np.empty(0, np.int64)
        whole = pc.utf8_normalize(pc.binary_join_element_wise(self.datasets, self.paths, "/"), form="NFC")
        new = pc.invert(pc.is_in(whole, value_set=self.paths)).to_numpy(zero_copy_only=False)
        return whole.filter(pa.array(new)), np.flatnonzero(new)

    @cached_property
    def datasets(self) -> pa.Array:
        return self.files["dataset"].cast(pa.string()).combine_chunks()

    @cached_property
    def image_ids(self) -> pa.Array:
        return self.files["image_id"].combine_chunks()

    def keys(self, key: str, *, with_dataset: bool) -> tuple[pa.Array, NDArray[np.int64]]:
        """(every text that names a photo, the position of this photo); a text may stand for several."""
        places = np.arange(len(self), dtype=np.int64)
        if key == "image_id":
            return self.image_ids, places
        texts, datasets = self.paths, self.datasets
        if key == "path" and not with_dataset:
            whole, of_whole = self.whole_paths
            return pa.concat_arrays([texts, whole]), np.concatenate([places, of_whole])
        if key == "stem":
            names = pc.replace_substring_regex(self.paths, "^.*/", "")
            stems = pc.replace_substring_regex(names, r"(.)\.[^.]*$", r"\1")
            texts, places = pa.concat_arrays([names, stems]), np.concatenate([places, places])
            datasets = pa.concat_arrays([datasets, datasets])
        return (pc.binary_join_element_wise(datasets, texts, _SEPARATOR) if with_dataset else texts), places

    def name_photo(self, position: int) -> str:
        path = str(self.files["path"][position].as_py())
        return path if len(self._roots) == 1 else f"{self.datasets[position].as_py()}: {path}"

    def shorten(self, texts: pa.Array, key: str) -> pa.Array:
        """The texts of a file as they name photos: `/` between folders, below the folder of the dataset."""
        if key == "image_id":
            return pc.utf8_lower(texts)
        texts = pc.replace_substring_regex(pc.replace_substring(texts, "\\", "/"), r"^(\./)+", "")
        for root in sorted(map(str, self._roots.values()), key=len):
            start = root.replace("\\", "/").rstrip("/") + "/"
            texts = pc.if_else(pc.starts_with(texts, start), pc.utf8_slice_codeunits(texts, len(start)), texts)
        return texts


@dataclass(frozen=True)
class FoundPhotos:
    """The photos that the rows of a file are about."""

    key: str
    """One of `KEYS`."""
    column: str
    """The column of the file that names the photos."""
    positions: NDArray[np.int64]
    """Per row, position in the `PhotoIndex`; -1 where no photo has this name."""
    unmatched: int
    """Rows whose name no photo has."""
    examples: tuple[str, ...]
    """Some of these names."""
    ambiguous: int
    """Rows whose name several photos have."""
    ambiguous_example: str = ""

    @cached_property
    def photos(self) -> int:
        return int(np.count_nonzero(np.bincount(self.positions + 1)[1:]))

    @property
    def words(self) -> str:
        return f"the column {self.column!r} as {_KEY_WORDS[self.key]}"


def find_photos(raw: RawFile, index: PhotoIndex, options: ColumnOptions) -> FoundPhotos:
    """Which photo each row is about. Raises `UsageError`."""
    texts = [name for name, values in raw.columns.items() if pa.types.is_dictionary(values.type)]
    if options.key_column is not None and options.key_column not in texts:
        raise UnknownName("column of text", options.key_column, texts[:30])
    if not len(index):
        raise UsageError("The store has no photo that columns could belong to: run a model over a folder first.")
    named = [options.key_column] if options.key_column else texts
    if options.key_column is None and options.key in texts:
        named = [options.key]
    keys = [options.key] if options.key != AUTO else [*KEYS]
    lookup = _Lookup(raw, index)
    readings = [found for name in named for key in keys if (found := lookup.find(name, key)) is not None]
    readings = [found for found in readings if found.photos or found.ambiguous]
    if not readings:
        raise UsageError(_describe_no_match(raw, lookup, named, keys))
    found = _choose(readings)
    if found.ambiguous:
        way = "write the dataset's name before each path" if found.key == "path" else "name the photos by path"
        raise UsageError(
            f"{found.ambiguous:,} of the {raw.rows:,} rows fit several photos each, e.g. {found.ambiguous_example}: "
            f"{way}, or name one `dataset`."
        )
    if lookup.is_photo(found.column, found.key):
        raise UsageError(
            f"The first row of the file, with {found.column!r}, is about a photo: expected a header that names the "
            "columns."
        )
    return found


def uses_dataset_column(raw: RawFile, index: PhotoIndex) -> bool:
    """Whether the file says in a column which dataset each row's photo belongs to."""
    values = raw.columns.get(DATASET_COLUMN)
    if values is None or not pa.types.is_dictionary(values.type) or values.null_count:
        return False
    return bool(pc.all(pc.is_in(pc.unique(values.cast(pa.string())), value_set=pc.unique(index.datasets))).as_py())


class _Lookup:
    def __init__(self, raw: RawFile, index: PhotoIndex) -> None:
        self._raw, self._index = raw, index
        self._with_dataset = uses_dataset_column(raw, index)
        self._keys: dict[str, tuple[pa.Array, NDArray[np.int64]]] = {}

    def find(self, name: str, key: str, *, sample_first: bool = True) -> FoundPhotos | None:
        """The photos that this column names; None if a sample of its values names none."""
        values = self._raw.columns[name]
        known, places = self._known(key)
        texts = self._cut_folders(name, key, self._index.shorten(values.dictionary, key))
        if self._with_dataset and key != "image_id":
            rows = pa.DictionaryArray.from_arrays(values.indices, texts).cast(pa.string())
            datasets = self._raw.columns[DATASET_COLUMN].cast(pa.string())
            values = pc.binary_join_element_wise(datasets, rows, _SEPARATOR).dictionary_encode()
            texts = values.dictionary
        if sample_first and not self._sample_matches(texts, known):
            return None
        first = pc.index_in(texts, value_set=known)
        is_matched = first.is_valid().to_numpy(zero_copy_only=False)
        place = np.full(len(texts) + 1, -1, np.int64)  # the last one is for rows without a name
        place[:-1][is_matched] = places[first.drop_null().to_numpy(zero_copy_only=False)]
        codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        positions = place[codes]
        several, example = self._find_ambiguous(texts, key)
        shown = self._raw.columns[name]
        missing = np.flatnonzero(positions < 0)
        examples = dict.fromkeys(str(shown[int(row)].as_py() or "") for row in missing[:50])
        return FoundPhotos(
            key,
            name,
            positions,
            len(missing),
            tuple(list(examples)[:3]),
            int(np.append(several, False)[codes].sum()),
            example,
        )

    def _cut_folders(self, name: str, key: str, texts: pa.Array) -> pa.Array:
        """Paths without the folders above the dataset's own, if none is known as it is.

        Raises `UsageError` if paths are known without more folders as well as without fewer.
        """
        known, _ = self._index.keys(key, with_dataset=False)
        if key != "path" or self._sample_matches(texts, known):
            return texts
        if not pc.any(pc.match_substring(texts, "/"), min_count=0).as_py():
            return texts
        cuts = [pc.replace_substring_regex(texts, f"^(?:[^/]*/){{{depth}}}", "") for depth in range(1, _MAX_DEPTH + 1)]
        fitting = [cut for cut in cuts if self._sample_matches(cut, self._index.paths)]
        if len(fitting) > 1:
            raise UsageError(
                f"The paths in the column {name!r}, such as {texts[0].as_py()!r}, begin above the dataset's folder and "
                "fit its photos from several folders on: write them as in the table."
            )
        return fitting[0] if fitting else texts

    def is_photo(self, text: str, key: str) -> bool:
        """Whether the name of a column is that of a photo, as in a file without a header."""
        known, _ = self._index.keys(key, with_dataset=False)
        return bool(pc.index_in(pa.scalar(text), value_set=known).is_valid)

    def _known(self, key: str) -> tuple[pa.Array, NDArray[np.int64]]:
        if key not in self._keys:
            self._keys[key] = self._index.keys(key, with_dataset=self._with_dataset)
        return self._keys[key]

    def _sample_matches(self, texts: pa.Array, known: pa.Array) -> bool:
        if len(texts) > _SAMPLE:
            texts = texts.take(pa.array(np.unique(np.linspace(0, len(texts) - 1, _SAMPLE).astype(np.int64))))
        return bool(pc.any(pc.is_in(known, value_set=texts), min_count=0).as_py())

    def _find_ambiguous(self, texts: pa.Array, key: str) -> tuple[NDArray[np.bool_], str]:
        """(bool per text: whether several photos have this name, an example)."""
        known, places = self._known(key)
        if key == "image_id":  # equal files are the same photo
            return np.zeros(len(texts), bool), ""
        first = pc.index_in(known, value_set=texts).fill_null(-1).to_numpy(zero_copy_only=False)
        lowest = np.full(len(texts) + 1, np.iinfo(np.int64).max)
        highest = np.full(len(texts) + 1, -1, np.int64)
        np.minimum.at(lowest, first, places)
        np.maximum.at(highest, first, places)
        several = (lowest < highest)[:-1]
        if not several.any():
            return several, ""
        at = int(np.argmax(several))
        photos = [self._index.name_photo(int(one[at])) for one in (lowest, highest)]
        return several, f"{texts[at].as_py().rpartition(_SEPARATOR)[2]!r} fits {photos[0]!r} and {photos[1]!r}"


def _choose(readings: Sequence[FoundPhotos]) -> FoundPhotos:
    """The only reading that explains the file; those that explain less than half of the best one do not count."""
    most = max(found.photos for found in readings)
    likely = [found for found in readings if 2 * found.photos >= most]
    clear = [found for found in likely if not found.ambiguous] or likely
    different: list[FoundPhotos] = []
    for found in sorted(clear, key=lambda one: KEYS.index(one.key) if one.key != "stem" else len(KEYS)):
        if not any((found.positions == other.positions).all() for other in different):
            different.append(found)
    if len(different) > 1:
        different = [one for one in different if one.column.lower() in _USUAL_NAMES] or different
    if len(different) > 1:
        described = [f"{one.words} ({one.photos:,} photos)" for one in different[:4]]
        raise UsageError(
            f"Several readings of the file name photos: {', '.join(described)}: say which with `key` and `key_column`."
        )
    return different[0]


def _describe_no_match(raw: RawFile, lookup: _Lookup, named: Sequence[str], keys: Sequence[str]) -> str:
    index = lookup._index
    samples = {
        "path": index.paths[0].as_py(),
        "stem": index.keys("stem", with_dataset=False)[0][0].as_py(),
        "image_id": index.image_ids[0].as_py(),
    }
    expected = " or ".join(f"a photo's {_KEY_WORDS[key]} such as {samples[key]!r}" for key in keys)
    if len(named) > 1:
        return f"No column of the file names photos of the store: expected one that holds {expected}."
    name = named[0]
    values = [text for text in raw.columns[name].slice(0, 3).cast(pa.string()).to_pylist() if text]
    others = [found for key in KEYS if key not in keys and (found := lookup.find(name, key)) and found.photos]
    hint = "".join(
        f"; as {_KEY_WORDS[one.key]} they fit {one.photos:,} photos: say `key` {one.key}" for one in others[:1]
    )
    return (
        f"None of the {raw.rows:,} rows fits a photo: the column {name!r} holds {', '.join(map(repr, values))}, and "
        f"{expected} was expected{hint}."
    )
