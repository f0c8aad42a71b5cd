"""Match annotation masks to images and read them as index masks, uint8 (H, W) with void 255.

Two PNG formats: `voc`, where a pixel holds a class index and 255 is void, and the `trimap` of Oxford-IIIT Pet, where 1
is the pet, 2 the background and 3 the border, which is ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from seglib.classes import BACKGROUND, VOID, Mask, animal_of_label, are_valid_class_names
from seglib.data import image, scan
from seglib.errors import BadImage, DatasetError, UsageError
from seglib.masks import png

MASK_FORMATS: tuple[str, ...] = ("voc", "trimap")

PET = "pet"
TRIMAP_CLASSES: tuple[str, ...] = (BACKGROUND, "cat", "dog", PET)
"""Classes of a converted trimap; `pet` is used if the species is unknown."""

_SAMPLED_MASKS = 16  # masks inspected to guess the format


def scan_masks(folder: Path) -> pd.DataFrame:
    """List the PNG files below the folder: path, bytes, mtime_ns, sorted by path. Raises `DatasetError` if none."""
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds the masks.")
    records = scan.scan(folder)
    masks = records[records["path"].str.lower().str.endswith(".png")]
    if masks.empty:
        raise DatasetError(f"No masks below {folder.name!r}: expected PNG files, one per photo.")
    return masks[["path", "bytes", "mtime_ns"]].reset_index(drop=True)


def match_masks(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Map each image path to its mask path; images without a mask are left out.

    Matches by relative path first: `cats/a.jpg` to `cats/a.png`, or to `cats/a.jpg.png` as `seglib export masks` writes
    it; otherwise by stem. Raises `DatasetError` if a match is ambiguous.
    """
    images = list(images)
    by_path: dict[str, str] = {}
    by_stem: dict[str, list[str]] = {}
    for mask in masks:
        bare = mask[: -len(".png")]
        by_path[bare] = mask
        by_stem.setdefault(PurePosixPath(bare).name, []).append(mask)
    matches: dict[str, str] = {}
    for photo in images:
        if (direct := by_path.get(photo) or by_path.get(_without_suffix(photo))) is not None:
            matches[photo] = direct
    used = set(matches.values())
    for photo in images:
        if photo in matches:
            continue
        name = PurePosixPath(photo)
        fitting = [m for m in by_stem.get(name.name) or by_stem.get(name.stem, []) if m not in used]
        if len(fitting) > 1:
            raise DatasetError(
                f"The stem of {photo!r} fits {len(fitting)} masks, e.g. {fitting[0]!r} and {fitting[1]!r}: "
                "name the masks by the photos' relative paths."
            )
        if fitting:
            matches[photo] = fitting[0]
    _check_unique(matches)
    return matches


def _check_unique(matches: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for photo, mask in matches.items():
        if mask in owners:
            raise DatasetError(
                f"The mask {mask!r} fits both {owners[mask]!r} and {photo!r}: name the masks by the photos' relative "
                "paths."
            )
        owners[mask] = photo


def _without_suffix(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def guess_format(folder: Path, masks: Sequence[str]) -> str:
    """Return `trimap` if a sample of the masks contains only the values 1, 2 and 3, else `voc`."""
    values: set[int] = set()
    for name in masks[:: max(1, len(masks) // _SAMPLED_MASKS)]:
        values.update(np.unique(read_mask(folder, name)).tolist())
    return "trimap" if values <= {1, 2, 3} else "voc"


def read_mask(folder: Path, name: str) -> Mask:
    """Read a mask as uint8 (H, W) with the file's raw values. Raises `DatasetError`."""
    try:
        return png.decode_index_png(image.read_bytes(folder / name))
    except (BadImage, ValueError) as error:
        reason = error.detail.rstrip(".") if isinstance(error, BadImage) else str(error)
        raise DatasetError(
            f"The mask {name!r} cannot be read ({reason}): "
            "expected an 8-bit palette or grey PNG whose values are class indices."
        ) from None


def check_index_mask(mask: Mask, name: str, classes: int, *, void: bool = True) -> Mask:
    """Return the mask unchanged. Raises `DatasetError` for values that are neither a class nor an allowed void."""
    beyond = np.unique(mask[mask >= classes]) if mask.size else np.zeros(0, np.uint8)
    if void:
        beyond = beyond[beyond != VOID]
    if len(beyond):
        raise DatasetError(
            f"The mask {name!r} holds the value {beyond[0]}, but there are only {classes} classes (0 to {classes - 1}"
            f"{', and 255 for void' if void else ''}): name all of them, or change the mask."
        )
    return mask


def convert_trimap(trimap: Mask, name: str, label: str | None) -> Mask:
    """Convert a trimap to indices of `TRIMAP_CLASSES`, taking the species from the image's folder or file name."""
    if not set(np.unique(trimap).tolist()) <= {1, 2, 3}:
        raise DatasetError(
            f"The trimap {name!r} holds {sorted(set(np.unique(trimap).tolist()) - {1, 2, 3})[0]}: expected 1 for the "
            "pet, 2 for background and 3 for its border. For masks of class indices take the format voc."
        )
    table = np.zeros(256, np.uint8)
    table[[1, 3]] = TRIMAP_CLASSES.index(pet_species(name, label)), VOID
    return table[trimap]


def pet_species(name: str, label: str | None) -> str:
    """Return cat, dog or pet: from the folder label, else from the file name's first letter.

    Oxford-IIIT Pet capitalises cat breeds and writes dog breeds in lower case.
    """
    if (claimed := animal_of_label(label)) is not None:
        return claimed
    initial = PurePosixPath(name).name[:1]
    return "cat" if initial.isupper() else "dog" if initial.islower() else PET


def read_class_names(file: Path) -> tuple[str, ...]:
    """Read class names from a text file, one per line in index order; `__background__` becomes `background`."""
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"The classes {file.name!r} cannot be read: expected a text file, one class per line."
        ) from None
    if not are_valid_class_names(names):
        raise UsageError(
            f"{file.name!r} names {len(names)} classes: expected 1 to {VOID} different names, one per line, "
            "of printable characters."
        )
    return tuple(BACKGROUND if name == "__background__" else name for name in names)
