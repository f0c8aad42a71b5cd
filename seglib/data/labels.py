"""Derive the split (train, val, test) and the label of images from the names of their folders and files."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

_SPLITS = {
    **dict.fromkeys(("train", "training", "train_set", "training_set", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "val_set", "validation_set"), "val"),
    **dict.fromkeys(("test", "testing", "test_set", "testset"), "test"),
}

VEHICLE = "train"
"""The only name of a split that is a class of VOC, COCO and ADE20K as well."""

_SPLIT_STEMS = ("train", "val", "test", "dev")
_NOT_PHOTOS = ("mask", "label", "annot", "truth", "segment")

_LABEL_IN_NAME = re.compile(r"[^._\-\d(]*")


def splits_and_labels(
    paths: Sequence[str], root_name: str, root_siblings: Collection[str]
) -> list[tuple[str | None, str | None]]:
    """(split, label) of each image, given by its path relative to the root, with `/`.

    The split is that of the nearest folder above that is named like one, the root included. The label is the parent
    folder's name; for images directly in the root, the root's name if other folders with images, `root_siblings`, lie
    beside it. A folder of a split is no label.
    """
    above = [path.rstrip("/").rpartition("/")[0] for path in paths]
    folders = {parent: PurePosixPath(parent) for parent in set(above)}
    called_so = [folder for folder in folders.values() if folder.name.lower() == VEHICLE]
    vehicles = {folder for folder in called_so if _is_vehicle(folder, folders.values())}
    if "" in folders and _is_vehicle_name(root_name, root_siblings):
        vehicles.add(PurePosixPath())
    derived = {
        parent: (_split(folder, root_name, vehicles), _label(folder, root_name if root_siblings else None, vehicles))
        for parent, folder in folders.items()
    }
    return [derived[parent] for parent in above]


def labels_from_names(paths: Iterable[str]) -> list[str | None]:
    """Label of each image by its file's name up to the first `.`, `_`, `-`, digit or bracket: `cat.0.jpg` is a cat.

    None if nothing is left, as of `0001.jpg`.
    """
    names = (path.rpartition("/")[2] for path in paths)
    return [match[0].strip() or None if (match := _LABEL_IN_NAME.match(name)) else None for name in names]


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
