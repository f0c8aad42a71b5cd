"""List mask files, and match them to photos by name, as people name them."""

import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from seglib.annotations.raw_mask import MASK_SUFFIXES
from seglib.data import scan
from seglib.errors import DatasetError

_MASK_ENDINGS = (
    *("_gtfine_labeltrainids", "_gtfine_labelids", "_gtcoarse_labeltrainids", "_gtcoarse_labelids", "_gtfine_color"),
    *("_labeltrainids", "_labelids", "_train_id", "_segmentation", "_segmask", "_groundtruth", "_ground_truth"),
    *("_annotation", "_annotations", "_anno", "_labels", "_label", "_masks", "_mask", "_segm", "_seg", "_matte"),
    *("_gt", "_class", "_lbl", "_l"),
)
_PHOTO_ENDINGS = ("_leftimg8bit", "_image", "_img", "_photo", "_rgb", "_sat")
_MASK_BEGINNINGS = ("mask_", "masks_", "seg_", "label_", "labels_", "gt_", "annotation_")
_PHOTO_BEGINNINGS = ("image_", "img_", "photo_", "rgb_")
"""What the names of masks and photos carry besides what they share, in lower case, the longest first; `-` and `.` count
as `_`."""

_NAMES_IN_MESSAGE = 3

Key = Callable[[str], list[str]]
"""Maps a path to the keys under which it may be found, the preferred one first."""


@dataclass(frozen=True)
class Matches:
    """Which mask belongs to which photo."""

    masks: Mapping[str, str]
    """Photo path -> mask path, in the order of the photos."""
    rules: Mapping[str, int]
    """Rule in words -> number of matches, only those that were needed."""
    without_photo: tuple[str, ...]
    """Masks that fit no photo."""

    def describe(self) -> str:
        """`440 by path, 5 without the suffix _mask`, with an example if folders have other names than the masks'."""
        counts = ", ".join(f"{count:,} {rule}" for rule, count in self.rules.items())
        across = next((pair for pair in self.masks.items() if _are_in_other_folders(*pair)), None)
        return counts if across is None else f"{counts}; {across[0]!r} has {across[1]!r}"


def scan_masks(folder: Path) -> pd.DataFrame:
    """List the mask files below the folder: path, bytes, mtime_ns, sorted by path. Raises `DatasetError` if none."""
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds the masks.")
    try:
        records = scan.scan(folder, follow_links=True)
    except DatasetError:
        raise DatasetError(
            f"No masks below {folder.name!r}: expected PNG, TIFF, GIF or BMP files, one per photo."
        ) from None
    masks = records[records["path"].map(lambda path: PurePosixPath(path).suffix.lower() in MASK_SUFFIXES)]
    if masks.empty:
        kinds = ", ".join(sorted({PurePosixPath(path).suffix for path in records["path"]}))
        raise DatasetError(
            f"No masks below {folder.name!r}: expected PNG, TIFF, GIF or BMP files, one per photo, and there are only "
            f"{kinds} files, which are photos or have lost the exact values."
        )
    return masks[["path", "bytes", "mtime_ns"]].reset_index(drop=True)


def has_masks(folder: Path) -> bool:
    """Whether there is a mask file below the folder."""
    return any(PurePosixPath(name).suffix.lower() in MASK_SUFFIXES for _, _, names in os.walk(folder) for name in names)


def match_masks(photos: Iterable[str], masks: Iterable[str], suffix: str | None = None) -> Matches:
    """Match photos to masks: by relative path, then by file name, without case and Unicode form, without suffixes.

    A mask's path counts without its ending (`cats/a.png`, or `cats/a.jpg.png` as `seglib export masks` writes it).
    `suffix` is what the masks' names end in besides; masks without it are left out. Where photos and masks have folders
    of one name, no match leads from there to another folder. Raises `DatasetError` if a match is ambiguous.
    """
    photos, masks = list(photos), list(masks)
    usable = masks if suffix is None else [mask for mask in masks if PurePosixPath(mask).stem.endswith(suffix)]
    matches: dict[str, str] = {}
    rules: dict[str, int] = {}
    for rule, photo_keys, mask_keys in _rules(suffix):
        if (before := len(matches)) in (len(photos), len(usable)):
            break
        _match_by(photo_keys, mask_keys, photos, usable, matches)
        if len(matches) > before:
            rules[rule] = rules.get(rule, 0) + len(matches) - before
    used = set(matches.values())
    in_order = {photo: matches[photo] for photo in photos if photo in matches}
    return Matches(in_order, rules, tuple(mask for mask in masks if mask not in used))


def no_match_error(photos: Sequence[str], masks: Sequence[str], folder: Path) -> DatasetError:
    """The error if no photo has a mask, with a few names of both sides."""
    return DatasetError(
        f"None of the {len(photos):,} photos has a mask in {folder.name!r}: photos are called "
        f"{_list_names(photos)}, masks {_list_names(masks)}. A mask has its photo's name; name what it ends in besides "
        "as `suffix`."
    )


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:_NAMES_IN_MESSAGE]) or "nothing"


def _rules(suffix: str | None) -> list[tuple[str, Key, Key]]:
    """(rule in words, keys of a photo, keys of a mask), the strictest first."""
    if suffix is not None:
        return _suffix_rules(suffix)
    return [
        ("by path", _paths, lambda path: [_bare(path), path]),
        ("by file name", _stems, lambda path: [_name(_bare(path))]),
        ("without regard to case or accents' form", lambda p: _paths(_fold(p)), lambda p: [_fold(_bare(p))]),
        ("without regard to case or accents' form", lambda p: _stems(_fold(p)), lambda p: [_name(_fold(_bare(p)))]),
        (
            "without the usual suffixes (_mask and others)",
            lambda path: _trimmed(path, _PHOTO_ENDINGS, _PHOTO_BEGINNINGS),
            lambda path: _trimmed(path, _MASK_ENDINGS, _MASK_BEGINNINGS),
        ),
    ]


def _suffix_rules(suffix: str) -> list[tuple[str, Key, Key]]:
    rule, ending = f"without the suffix {suffix}", _fold(suffix)

    def path(mask: str) -> list[str]:
        return [_fold(_bare(mask)).removesuffix(ending)]

    def name(mask: str) -> list[str]:
        return [_name(path(mask)[0])]

    return [
        (rule, lambda photo: _paths(_fold(photo)), path),
        (rule, lambda photo: _stems(_fold(photo)), name),
        (rule, lambda photo: _trimmed(photo, _PHOTO_ENDINGS, ()), name),
    ]


def _match_by(
    photo_keys: Key, mask_keys: Key, photos: Sequence[str], masks: Sequence[str], matches: dict[str, str]
) -> None:
    """Add to `matches` the photos and masks, not matched yet, that share a key."""
    used = set(matches.values())
    shared = {_fold(posixpath.dirname(photo)) for photo in photos}
    shared &= {_fold(posixpath.dirname(mask)) for mask in masks}
    by_key: dict[str, list[str]] = defaultdict(list)
    for mask in masks:
        if mask not in used:
            for key in mask_keys(mask):
                by_key[key].append(mask)
    owners: dict[str, str] = {}
    for photo in photos:
        if photo in matches:
            continue
        keyed = next((by_key[key] for key in photo_keys(photo) if key in by_key), [])
        fitting = [mask for mask in keyed if not _are_in_other_folders(photo, mask, shared)]
        if len(fitting) > 1:
            raise DatasetError(
                f"The photo {photo!r} fits {len(fitting)} masks, e.g. {fitting[0]!r} and {fitting[1]!r}: name the "
                "masks by the photos' relative paths, or name the `suffix` of those to use."
            )
        if fitting:
            mask = fitting[0]
            if mask in owners:
                raise DatasetError(
                    f"The mask {mask!r} fits both {owners[mask]!r} and {photo!r}: name the masks by the photos' "
                    "relative paths, or, if one of the two is a mask itself, run models on the folder of photos alone."
                )
            owners[mask] = photo
    matches |= {photo: mask for mask, photo in owners.items()}


def _are_in_other_folders(photo: str, mask: str, shared: Collection[str] | None = None) -> bool:
    """Whether a photo and a mask lie in folders of other names, or if given, one of them in a `shared` folder."""
    folders = _fold(posixpath.dirname(photo)), _fold(posixpath.dirname(mask))
    differ = all(folders) and folders[0] != folders[1]
    return differ if shared is None else differ and (folders[0] in shared or folders[1] in shared)


def _paths(photo: str) -> list[str]:
    return [photo, _bare(photo)]


def _stems(photo: str) -> list[str]:
    return [_name(photo), _name(_bare(photo))]


def _bare(path: str) -> str:
    """The path without the file's ending."""
    return posixpath.splitext(path)[0]


def _name(path: str) -> str:
    return posixpath.basename(path)


def _fold(path: str) -> str:
    """The path in lower case and in Unicode's composed form (NFC); macOS writes the decomposed one (NFD)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _trimmed(path: str, endings: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """The file name without its ending, and without one of these endings and beginnings."""
    name = _name(_fold(_bare(path))).replace("-", "_").replace(".", "_")
    for ending in endings:
        if name.endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
            break
    for beginning in beginnings:
        if name.startswith(beginning) and len(name) > len(beginning):
            name = name[len(beginning) :]
            break
    return [name]
