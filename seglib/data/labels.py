"""Derive the split (train, val, test) and the label of images from the names of their folders and files."""

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

_SPLITS = {
    **dict.fromkeys(("train", "training", "train_set", "training_set", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val_set", "validation_set"), "val"),
    **dict.fromkeys(("test", "testing", "test_set", "testset"), "test"),
}

VEHICLE = "train"
"""The only name of a split that is a class of VOC, COCO and ADE20K as well."""

_SPLIT_STEMS = ("train", "val", "test", "dev")
_NOT_PHOTOS = ("mask", "label", "annot", "truth", "segment")

_AFTER_LABEL = r"(?s)[._\-\p{Nd}(].*$"


def splits_and_labels(
    paths: pa.ChunkedArray, root_name: str, root_siblings: Collection[str]
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """(split, label) of each image, given by its path relative to the root, with `/`: strings, null for none.

    The split is that of the nearest folder above that is named like one, the root included. The label is the parent
    folder's name; for images directly in the root, the root's name if other folders with images, `root_siblings`, lie
    beside it. A folder of a split is no label.
    """
    above = pc.replace_substring_regex(paths, "/?[^/]*/*$", "").dictionary_encode().unify_dictionaries()
    names = above.chunk(0).dictionary.to_pylist() if above.num_chunks else []
    folders = {name: PurePosixPath(name) for name in names}
    called_so = [folder for folder in folders.values() if folder.name.lower() == VEHICLE]
    vehicles = {folder for folder in called_so if _is_vehicle(folder, folders.values())}
    if "" in folders and _is_vehicle_name(root_name, root_siblings):
        vehicles.add(PurePosixPath())
    splits = [_split(folder, root_name, vehicles) for folder in folders.values()]
    found = [_label(folder, root_name if root_siblings else None, vehicles) for folder in folders.values()]
    return _of_each(above, splits), _of_each(above, found)


def _of_each(encoded: pa.ChunkedArray, values: list[str | None]) -> pa.ChunkedArray:
    """The value that stands for the code of each row."""
    of_code = pa.array(values, pa.string())
    return pa.chunked_array([of_code.take(chunk.indices) for chunk in encoded.chunks], pa.string())


def labels_from_names(paths: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Label of each image by its file's name up to the first `.`, `_`, `-`, digit or bracket: `cat.0.jpg` is a cat.

    Null if nothing is left, as of `0001.jpg`.
    """
    names = pc.replace_substring_regex(paths, "(?s)^.*/", "")
    words = pc.utf8_trim_whitespace(pc.replace_substring_regex(names, _AFTER_LABEL, ""))
    return pc.if_else(pc.equal(words, ""), None, words).cast(pa.string())


def _split(folder: PurePosixPath, root_name: str, vehicles: set[PurePosixPath]) -> str | None:
    for one in (folder, *folder.parents):
        if one not in vehicles and (split := _SPLITS.get((one.name or root_name).lower())) is not None:
            return split
    return None


def _label(folder: PurePosixPath, root_label: str | None, vehicles: set[PurePosixPath]) -> str | None:
    label = folder.name or root_label
    return None if label is None or (label.lower() in _SPLITS and folder not in vehicles) else label


def _is_vehicle(folder: PurePosixPath, folders: Iterable[PurePosixPath]) -> bool:
    siblings = {other.name for other in folders if other.parts and other.parent == folder.parent and other != folder}
    return _is_vehicle_name(folder.name, siblings)


def _is_vehicle_name(name: str, siblings: Collection[str]) -> bool:
    """Whether a folder of images called `train` is a class: it lies beside other classes, and beside no other split."""
    if name.lower() != VEHICLE:
        return False
    names = [sibling.lower() for sibling in siblings]
    classes = [name for name in names if not any(word in name for word in _NOT_PHOTOS)]
    return bool(classes) and not any(name.startswith(_SPLIT_STEMS) for name in names)
