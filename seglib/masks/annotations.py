"""Masks that people drew, or somebody's model: which file belongs to which photo, and what its values mean.

In: a folder of PNG masks, paths of photos. Out: pairs of paths, and index masks uint8 (H, W) with void 255. Two
formats: `voc`, where a pixel is a class's index and 255 is void, and `trimap` of Oxford-IIIT Pet, where 1 is the pet,
2 is background and 3 the border that nobody is asked about. Knows nothing of stores, nets or measures.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from seglib.classes import BACKGROUND, VOID, animal_of_label, are_class_names
from seglib.data import image, scan
from seglib.errors import BadImage, DatasetError, UsageError
from seglib.masks import png
from seglib.masks.png import Mask

FORMATS: tuple[str, ...] = ("voc", "trimap")

PET = "pet"
TRIMAP_CLASSES: tuple[str, ...] = (BACKGROUND, "cat", "dog", PET)
"""What a trimap is read as: a pet of no known species stays `pet`."""

_SAMPLED = 16  # masks that are looked at to guess the format


def masks_in(folder: Path) -> pd.DataFrame:
    """path, bytes, mtime_ns of each PNG below the folder, by path."""
    records = scan.scan(folder)
    found = records[records["path"].str.lower().str.endswith(".png")]
    if found.empty:
        raise DatasetError(f"No masks below {folder.name!r}: expected PNG files, one per photo.")
    return found[["path", "bytes", "mtime_ns"]].reset_index(drop=True)


def matched(photos: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """photo -> its mask, for those that have one. By relative path first: `cats/a.png`, or `cats/a.jpg.png` as
    `seglib export masks` writes it, for `cats/a.jpg`; else by stem. Raises `DatasetError` where that is ambiguous.
    """
    photos = list(photos)
    by_path: dict[str, str] = {}
    by_stem: dict[str, list[str]] = {}
    for mask in masks:
        bare = mask[: -len(".png")]
        by_path[bare] = mask
        by_stem.setdefault(PurePosixPath(bare).name, []).append(mask)
    found: dict[str, str] = {}
    for photo in photos:
        if (direct := by_path.get(photo) or by_path.get(_without_suffix(photo))) is not None:
            found[photo] = direct
    taken = set(found.values())
    for photo in photos:
        if photo in found:
            continue
        name = PurePosixPath(photo)
        fitting = [m for m in by_stem.get(name.name) or by_stem.get(name.stem, []) if m not in taken]
        if len(fitting) > 1:
            raise DatasetError(
                f"The stem of {photo!r} fits {len(fitting)} masks, e.g. {fitting[0]!r} and {fitting[1]!r}: "
                "name the masks by the photos' relative paths."
            )
        if fitting:
            found[photo] = fitting[0]
    _check_once(found)
    return found


def _check_once(found: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for photo, mask in found.items():
        if mask in owners:
            raise DatasetError(
                f"The mask {mask!r} fits both {owners[mask]!r} and {photo!r}: name the masks by the photos' relative "
                "paths."
            )
        owners[mask] = photo


def _without_suffix(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()


def guessed_format(folder: Path, masks: Sequence[str]) -> str:
    """`trimap` if some of the masks hold nothing but 1, 2 and 3, else `voc`."""
    values: set[int] = set()
    for name in masks[:: max(1, len(masks) // _SAMPLED)]:
        values.update(np.unique(read(folder, name)).tolist())
    return "trimap" if values <= {1, 2, 3} else "voc"


def read(folder: Path, name: str) -> Mask:
    """uint8 (H, W), the values as they are in the file."""
    try:
        return png.read_index_png(image.read_bytes(folder / name))
    except (BadImage, ValueError) as error:
        reason = error.detail.rstrip(".") if isinstance(error, BadImage) else str(error)
        raise DatasetError(
            f"The mask {name!r} cannot be read ({reason}): "
            "expected an 8-bit palette or grey PNG whose values are class indices."
        ) from None


def index_mask(mask: Mask, name: str, classes: int, *, void: bool = True) -> Mask:
    """The mask itself, if all its values are classes (or void, where that is allowed)."""
    beyond = np.unique(mask[mask >= classes]) if mask.size else np.zeros(0, np.uint8)
    if void:
        beyond = beyond[beyond != VOID]
    if len(beyond):
        raise DatasetError(
            f"The mask {name!r} holds the value {beyond[0]}, and there are {classes} classes (0 to {classes - 1}"
            f"{', and 255 for void' if void else ''}): name all of them, or change the mask."
        )
    return mask


def trimap_mask(trimap: Mask, name: str, label: str | None) -> Mask:
    """A trimap in indices of `TRIMAP_CLASSES`; the animal is the one that the photo's folder or name claims."""
    if not set(np.unique(trimap).tolist()) <= {1, 2, 3}:
        raise DatasetError(
            f"The trimap {name!r} holds {sorted(set(np.unique(trimap).tolist()) - {1, 2, 3})[0]}: expected 1 for the "
            "pet, 2 for background and 3 for its border. For masks of class indices take --format voc."
        )
    table = np.zeros(256, np.uint8)
    table[[1, 3]] = TRIMAP_CLASSES.index(species(name, label)), VOID
    return table[trimap]


def species(name: str, label: str | None) -> str:
    """cat, dog, or pet: the folder's claim, else by the breed's initial: cats are capitalised in Oxford-IIIT Pet."""
    if (claimed := animal_of_label(label)) is not None:
        return claimed
    initial = PurePosixPath(name).name[:1]
    return "cat" if initial.isupper() else "dog" if initial.islower() else PET


def class_names(file: Path) -> tuple[str, ...]:
    """One class a line, in index order; the first is the background if its index is 0 there."""
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"The classes {file.name!r} cannot be read: expected a text file, one class a line.") from None
    if not are_class_names(names):
        raise UsageError(
            f"{file.name!r} names {len(names)} classes: expected 1 to {VOID} different ones, one a line, "
            "of printable characters."
        )
    return tuple(BACKGROUND if name == "__background__" else name for name in names)
