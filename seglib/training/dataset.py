"""Find image/mask pairs in a dataset folder, split them, and load masks as class indices.

`find_samples` finds the pairs, `split` divides them into training and validation, `resolve_classes` maps mask values to
the trained classes, and `load_sample` returns an image and its mask as uint8 (H, W) class indices. Supported layouts:
Pascal VOC (JPEGImages, SegmentationClass, ImageSets), Oxford-IIIT Pet (images, annotations/trimaps), or a folder of
images with a folder of masks. This module does not import torch.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from seglib.classes import BACKGROUND, VOC_CLASSES, VOID, Mask
from seglib.data import image, scan
from seglib.errors import BadImage, DatasetError, UsageError
from seglib.masks import annotations

_LAYOUTS = (("JPEGImages", "SegmentationClass", "voc"), ("images", "annotations/trimaps", "trimap"))


@dataclass(frozen=True)
class Sample:
    image_path: Path
    mask_path: Path | None
    """None for an image that has only soft labels."""
    name: str
    """The image's path relative to the image folder."""
    label: str | None
    """Name of the image's parent folder."""


@dataclass(frozen=True)
class ClassMapping:
    """Mapping of mask values to the trained classes."""

    format: str
    """`voc`: values are class indices; `trimap`: Oxford-IIIT Pet trimaps."""
    classes: tuple[str, ...]
    table: tuple[int, ...]
    """For each mask value, its index in `classes`."""


def find_samples(folder: Path, masks: Path | None = None) -> tuple[list[Sample], Path]:
    """Return the images that have a mask, sorted by name, and the mask folder.

    If there are lists in ImageSets, only images listed there are used, and each must have a mask. Raises
    `DatasetError` for an unknown layout or missing images or masks.
    """
    photos, masks = _folders(folder, masks)
    records = scan.scan(photos)
    label = dict(zip(records["path"], records["label"], strict=True))
    wanted = _read_image_sets(folder)
    if wanted is not None:
        label = {name: one for name, one in label.items() if PurePosixPath(name).stem in wanted}
        if absent := wanted - {PurePosixPath(name).stem for name in label}:
            raise DatasetError(f"ImageSets names {min(absent)!r} and {len(absent) - 1} more that {photos.name} lacks.")
    matches = annotations.match_masks(label, annotations.scan_masks(masks)["path"])
    missing = [name for name in label if name not in matches]
    if missing and (wanted is not None or not matches):
        raise DatasetError(
            f"{len(missing)} photos have no mask, e.g. {missing[0]!r}: expected a PNG of the same name below "
            f"{masks.name!r}."
        )
    return [Sample(photos / name, masks / matches[name], name, label[name]) for name in sorted(matches)], masks


def find_unlabelled(folder: Path) -> list[Sample]:
    """Return a folder's images as pairs without masks."""
    records = scan.scan(folder)
    rows = zip(records["path"], records["label"], strict=True)
    return [Sample(folder / name, None, name, label) for name, label in rows]


def _folders(folder: Path, masks: Path | None) -> tuple[Path, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds photos and masks.")
    if masks is not None:
        if not masks.is_dir():
            raise DatasetError(f"{str(masks)!r} is not a folder: name the folder that holds the masks.")
        return folder, masks
    for photos, truths, _ in _LAYOUTS:
        if (folder / photos).is_dir() and (folder / truths).is_dir():
            return folder / photos, folder / truths
    raise DatasetError(
        f"{folder.name!r} holds neither JPEGImages and SegmentationClass (Pascal VOC) nor images and "
        "annotations/trimaps (Oxford-IIIT Pet): name the folder of its `masks`."
    )


def _read_image_sets(folder: Path) -> set[str] | None:
    """File stems listed in ImageSets/Segmentation, else in ImageSets; None if there are no lists."""
    files = sorted((folder / "ImageSets" / "Segmentation").glob("*.txt")) or sorted(
        (folder / "ImageSets").glob("*.txt")
    )
    if not files:
        return None
    return {line.split()[0] for file in files for line in file.read_text("utf-8").splitlines() if line.strip()}


def split(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Split into (training, validation): the `share` of images with the lowest hash of seed and name is held out.

    Adding images later moves hardly any of the others between the two. Raises `DatasetError` if either part is empty.
    """
    by_hash = sorted(samples, key=lambda pair: hashlib.sha256(f"{seed}/{pair.name}".encode()).digest())
    count = round(share * len(samples))
    if not 0 < count < len(samples):
        raise DatasetError(
            f"{len(samples)} photos with masks cannot be split: {count} for validation and {len(samples) - count} for "
            "training. Give more photos, or another share for `validation`."
        )
    held_out = {pair.name for pair in by_hash[:count]}
    return [p for p in samples if p.name not in held_out], [p for p in samples if p.name in held_out]


def digest(samples: Sequence[Sample]) -> str:
    """Hash of the images' names in order (8 hex digits), which identifies what each position refers to."""
    return hashlib.sha256("\n".join(pair.name for pair in samples).encode()).hexdigest()[:8]


def resolve_classes(masks: Path, named: Sequence[str] | None, format: str | None = None) -> ClassMapping:
    """Map mask values to the classes in `named` (default: all VOC classes, or background and pet for trimaps).

    VOC classes are selected by name and all others become background. If any name is not a VOC class, `named` lists
    the names of the mask values in order instead. Raises `UsageError` for classes that the masks do not have.
    """
    format = format or annotations.guess_format(masks, list(annotations.scan_masks(masks)["path"]))
    if format == "trimap":
        classes = tuple(named or (BACKGROUND, annotations.PET))
        source: tuple[str, ...] = annotations.TRIMAP_CLASSES
        alike = {"cat": annotations.PET, "dog": annotations.PET} if annotations.PET in classes else {}
    else:
        classes = tuple(named or VOC_CLASSES)
        source, alike = (VOC_CLASSES if set(classes) <= set(VOC_CLASSES) else classes), {}
    if format == "trimap" and (unknown := [name for name in classes if name not in source]):
        raise UsageError(f"Trimaps know {', '.join(source)}; {unknown[0]!r} is none of them.")
    if source == VOC_CLASSES and classes[0] != BACKGROUND:
        raise UsageError(f"The first class is {classes[0]!r}: expected background, which takes all that is not named.")
    names = [alike.get(name, name) for name in source]
    return ClassMapping(format, classes, tuple(classes.index(name) if name in classes else 0 for name in names))


def load_sample(sample: Sample, mapping: ClassMapping) -> tuple[Image.Image, Mask]:
    """Load the image (RGB, upright) and its mask, uint8 (H, W) indices of the trained classes, 255 void.

    Without a mask file, the mask is all void. Raises `DatasetError` if the image is unreadable or the sizes differ.
    """
    try:
        photo = image.decode(image.read_bytes(sample.image_path))
    except BadImage as error:
        raise DatasetError(f"The photo {sample.name!r} cannot be used: {error.detail}") from None
    if sample.mask_path is None:
        return photo, np.full((photo.height, photo.width), VOID, np.uint8)
    raw = annotations.read_mask(sample.mask_path.parent, sample.mask_path.name)
    if raw.shape != (photo.height, photo.width):
        raise DatasetError(
            f"The mask {sample.mask_path.name!r} is {raw.shape[1]} x {raw.shape[0]} pixels and its photo "
            f"{photo.width} x "
            f"{photo.height}: a mask must have its photo's size."
        )
    return photo, map_mask(raw, sample, mapping)


def map_mask(raw: Mask, sample: Sample, mapping: ClassMapping) -> Mask:
    assert sample.mask_path is not None
    if mapping.format == "trimap":
        values = annotations.convert_trimap(raw, sample.mask_path.name, sample.label)
    else:
        values = annotations.check_index_mask(raw, sample.mask_path.name, len(mapping.table))
    table = np.full(256, VOID, np.uint8)
    table[: len(mapping.table)] = mapping.table
    return table[values]
