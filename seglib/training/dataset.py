"""Find image/mask pairs in a dataset folder, check and split them, and load masks as class indices.

`find_samples` finds the pairs and settles how the masks are read, `check_samples` reads each once and leaves out what
cannot be used, `split` divides them into training and validation, and `load_sample` returns an image and its mask as
uint8 (H, W) class indices. Supported layouts: Pascal VOC (JPEGImages, SegmentationClass, ImageSets), Oxford-IIIT Pet
(images, annotations/trimaps), or a folder of images with masks of any format. This module does not import torch.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from seglib.annotations.class_names import canonical_name
from seglib.annotations.matching import match_masks, no_match_error
from seglib.annotations.options import MaskOptions
from seglib.annotations.reader import Masks, count_masks, leave_out_masks, open_masks
from seglib.annotations.trimap import PET
from seglib.classes import BACKGROUND, VOID, Mask
from seglib.data import image, scan
from seglib.errors import BadImage, DatasetError, UsageError
from seglib.fileio.parallel import map_in_threads
from seglib.fileio.text_file import read_text_lines

_LAYOUTS = (("JPEGImages", "SegmentationClass", "voc"), ("images", "annotations/trimaps", "trimap"))


@dataclass(frozen=True)
class Sample:
    image_path: Path
    mask: str | None
    """The mask's name in `ClassMapping.masks`; None for an image that has only soft labels."""
    name: str
    """The image's path relative to the image folder."""
    label: str | None
    """Name of the image's parent folder."""


@dataclass(frozen=True)
class ClassMapping:
    """The masks, and which of the trained classes each of their classes is."""

    masks: Masks
    classes: tuple[str, ...]
    """The trained classes."""
    table: tuple[int, ...]
    """For each class of the masks, its index in `classes`."""
    matched: str = ""
    """How many photos have a mask, and by which rule they were matched."""


@dataclass(frozen=True)
class CheckedSamples:
    usable: list[Sample]
    left_out: dict[str, str]
    """Image name -> why it or its mask cannot be used."""
    pixels: NDArray[np.int64]
    """int64 (256,): pixels of each trained class, and of void, over all masks."""
    shows: dict[str, NDArray[np.bool_]]
    """Image name -> bool (256,): the trained classes that its mask shows, and void."""


def find_samples(
    folder: Path,
    masks: Path | None = None,
    *,
    options: MaskOptions | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[list[Sample], ClassMapping]:
    """Return the images that have a mask, sorted by name, and how their masks are read.

    `classes` are those to learn: see `map_classes`. If there are lists in ImageSets, only images listed there are used,
    and each must have a mask. Raises `DatasetError` for an unknown layout, for missing images or masks, and for masks
    that fit two readings.
    """
    photos, masks = _folders(folder, masks)
    records = scan.scan(photos, follow_links=True)
    label = dict(_labelled(records))
    wanted = _read_image_sets(folder)
    if wanted is not None:
        label = {name: one for name, one in label.items() if PurePosixPath(name).stem in wanted}
        if absent := wanted - {PurePosixPath(name).stem for name in label}:
            raise DatasetError(f"ImageSets names {min(absent)!r} and {len(absent) - 1} more that {photos.name} lacks.")
    options = options or MaskOptions()
    if options.format == "binary" and classes is not None and len(classes) == 1:
        classes = (BACKGROUND, *classes)
    names_indices = options.format in ("index", "binary")
    opened = open_masks(
        masks, replace(options, classes=tuple(classes)) if names_indices and classes else options, wanted=classes
    )
    mask_names = list(opened.files["path"])
    is_photo = leave_out_masks(opened, photos, label)
    label = {name: one for (name, one), keep in zip(label.items(), is_photo, strict=True) if keep}
    found = match_masks(label, mask_names, options.suffix)
    matches = found.masks
    if not matches:
        raise no_match_error(list(label), mask_names, masks)
    missing = [name for name in label if name not in matches]
    if missing and wanted is not None:
        raise DatasetError(
            f"{len(missing)} photos that ImageSets names have no mask, e.g. {missing[0]!r}: expected a file of the "
            f"same name below {masks.name!r}."
        )
    samples = [Sample(photos / name, matches[name], name, label[name]) for name in sorted(matches)]
    unused = f" {count_masks(len(found.without_photo))} without a photo." if found.without_photo else ""
    matched = f"{len(matches):,} of {len(label):,} photos have a mask: {found.describe()}.{unused}"
    return samples, replace(map_classes(opened, classes), matched=matched)


def find_unlabelled(folder: Path) -> list[Sample]:
    """Return a folder's images as pairs without masks."""
    records = scan.scan(folder, follow_links=True)
    return [Sample(folder / name, None, name, label) for name, label in _labelled(records)]


def _labelled(records: pd.DataFrame) -> Iterator[tuple[str, str | None]]:
    """(path, label) of each image."""
    labels = pa.array(records["label"], pa.string()).to_pylist()
    return zip(records["path"], labels, strict=True)


def _folders(folder: Path, masks: Path | None) -> tuple[Path, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds photos and masks.")
    if masks is not None:
        if not masks.exists():
            raise DatasetError(
                f"There is no {str(masks)!r}: name the folder that holds the masks, or a COCO JSON file."
            )
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
    return {line.split()[0] for file in files for line in read_text_lines(file)}


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


def split_by_list(samples: Sequence[Sample], file: Path) -> tuple[list[Sample], list[Sample]]:
    """Split into (training, validation): the images that a file names are held out.

    A line is an image's path, its name, or its stem, as in VOC's val.txt. Raises `UsageError` if the file cannot be
    read, `DatasetError` if a line names no image or several, or if a part is empty.
    """
    named = set(read_text_lines(file))
    keys = {sample.name: _list_keys(sample.name) & named for sample in samples}
    if absent := named - set().union(*keys.values()):
        raise DatasetError(
            f"{file.name!r} names {len(absent):,} photos that have no mask here, e.g. {min(absent)[:80]!r}: expected a "
            "photo's path, name or stem per line."
        )
    uses = Counter(key for own in keys.values() for key in own)
    if doubtful := [key for key, number in uses.items() if number > 1 and key not in keys]:
        name = min(doubtful)
        raise DatasetError(f"{file.name!r} names {name[:80]!r}, and {uses[name]} photos are called so: give the path.")
    held_out = [sample for sample in samples if keys[sample.name]]
    if not 0 < len(held_out) < len(samples):
        raise DatasetError(f"{file.name!r} holds out {len(held_out)} of {len(samples)} photos: both parts need some.")
    return [sample for sample in samples if not keys[sample.name]], held_out


def _list_keys(name: str) -> set[str]:
    path = PurePosixPath(name)
    return {name, path.name, path.stem}


def repeat_factors(shows: Sequence[NDArray[np.bool_] | None], threshold: float) -> list[float]:
    """How often an epoch draws each image: repeat factor sampling (Gupta et al. 2019, LVIS, section 4).

    `shows`: bool (256,) of each image, which classes its mask shows; None without a mask. The factor of a class that a
    share f of the masks show is max(1, sqrt(threshold / f)), and an image's is the largest of its classes; 1 without.
    """
    known = [row[:VOID] for row in shows if row is not None]
    if not known or not threshold:
        return [1.0] * len(shows)
    share = np.mean(known, axis=0).clip(min=1 / len(known))  # (255,)
    factor = np.sqrt(threshold / share).clip(min=1)
    return [1.0 if row is None or not row[:VOID].any() else float(factor[row[:VOID]].max()) for row in shows]


def digest(samples: Sequence[Sample]) -> str:
    """Hash of the images' names in order (8 hex digits), which identifies what each position refers to."""
    return hashlib.sha256("\n".join(pair.name for pair in samples).encode()).hexdigest()[:8]


def map_classes(masks: Masks, named: Sequence[str] | None) -> ClassMapping:
    """Map the classes of the masks to those in `named` (default: all of them, or background and pet for trimaps).

    Classes are selected by name, and all others become background. Raises `UsageError` for classes that the masks do
    not have.
    """
    source = tuple(map(canonical_name, masks.classes))
    classes = tuple(named or ((BACKGROUND, PET) if masks.format == "trimap" else masks.classes))
    wanted = [canonical_name(name) for name in classes]
    if masks.format == "trimap" and PET in wanted:
        source = tuple(PET if name in ("cat", "dog") else name for name in source)
    if unknown := [name for name, meaning in zip(classes, wanted, strict=True) if meaning not in source]:
        raise UsageError(f"The masks know {', '.join(masks.classes)}; {unknown[0]!r} is none of them.")
    if set(source) - set(wanted) and wanted[0] != BACKGROUND:
        raise UsageError(f"The first class is {classes[0]!r}: expected background, which takes all that is not named.")
    return ClassMapping(masks, classes, tuple(wanted.index(name) if name in wanted else 0 for name in source))


def check_samples(samples: Sequence[Sample], mapping: ClassMapping) -> CheckedSamples:
    """Read every image and mask once, and leave out those that cannot be used."""

    def check(sample: Sample) -> NDArray[np.int64] | DatasetError:
        try:
            mask = load_sample(sample, mapping)[1]
        except DatasetError as error:
            return error
        return np.bincount(mask.ravel(), minlength=VOID + 1)

    checked = CheckedSamples([], {}, np.zeros(VOID + 1, np.int64), {})
    for sample, result in zip(samples, map_in_threads(check, samples), strict=True):
        if isinstance(result, DatasetError):
            checked.left_out[sample.name] = str(result)
            continue
        checked.usable.append(sample)
        if sample.mask is not None:
            checked.pixels[:] += result
            checked.shows[sample.name] = result > 0
    return checked


def check_classes(classes: Sequence[str], pixels: NDArray[np.int64], *, chosen: bool) -> None:
    """Raise `DatasetError` if there is nothing to learn: a chosen class, or every class but one, has no pixel."""
    present = [name for name, count in zip(classes, pixels, strict=False) if count]
    absent = [name for name in classes if name not in present]
    if (chosen and absent) or len(present) < 2:
        raise DatasetError(
            f"The masks have no pixel of {', '.join(absent) if chosen else 'more than one class'}: they hold "
            f"{', '.join(present) or 'no class at all'}. Check `classes` and `format`, which say what the masks' "
            "values mean."
        )


def load_sample(sample: Sample, mapping: ClassMapping) -> tuple[Image.Image, Mask]:
    """Load the image (RGB, upright) and its mask, uint8 (H, W) indices of the trained classes, 255 void.

    Without a mask file, the mask is all void. Raises `DatasetError` if the image is unreadable or the sizes differ.
    """
    try:
        photo = image.decode(image.read_bytes(sample.image_path))
    except BadImage as error:
        raise DatasetError(f"The photo {sample.name!r} cannot be used: {error.detail}") from None
    if sample.mask is None:
        return photo, np.full((photo.height, photo.width), VOID, np.uint8)
    table = np.full(VOID + 1, VOID, np.uint8)
    table[: len(mapping.table)] = mapping.table
    return photo, table[mapping.masks.read(sample.mask, photo.size, sample.label)]
