"""Open the masks that someone brings, whatever their format (`open_masks`), and read them one by one."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.annotations import detection
from seglib.annotations.class_names import canonical_name, drop_void, read_class_names, read_labelmap
from seglib.annotations.coco import CocoFile, read_coco
from seglib.annotations.detection import Labelmap
from seglib.annotations.matching import Matches, has_masks, match_masks, no_match_error, scan_masks
from seglib.annotations.options import AUTO, MaskOptions
from seglib.annotations.raw_mask import RawMask, decode_raw
from seglib.annotations.reading import MaskError, Reading
from seglib.annotations.yolo import YoloFolder, has_labels, read_yolo
from seglib.classes import BACKGROUND, VOID, Mask
from seglib.data import image
from seglib.data.buckets.address import Bucket
from seglib.data.photo_root import PhotoRoot
from seglib.errors import BadImage, DatasetError, UsageError

LABELMAP = "labelmap.txt"
CLASS_NAMES = "class_names.txt"

_SAMPLE = 64  # masks looked at to settle the format

_UNKNOWN_SIZE = (512, 512)
"""Of a photo, to find out which classes polygons name."""

_FORMAT_NAMES = {
    "index": "class indices",
    "voc": "VOC indices",
    "binary": "binary masks",
    "trimap": "trimaps",
    "color": "colours",
    "coco": "COCO",
    "yolo": "YOLO polygons",
}


class Masks(Protocol):
    """Masks that are open for reading: a folder of them, or a file that holds many."""

    @property
    def source(self) -> Path:
        """The folder or file."""

    @property
    def options(self) -> MaskOptions: ...

    @property
    def format(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def files(self) -> pd.DataFrame:
        """One row per mask, sorted by path: path, bytes, mtime_ns."""

    @property
    def reading_options(self) -> str:
        """Everything but format and classes that decides how a mask is read, as text; empty for plain indices."""

    def file(self, name: str) -> Path:
        """The file that holds this mask."""

    def read(
        self, name: str, photo_wh: tuple[int, int] | None, label: str | None = None, *, any_size: bool = False
    ) -> Mask:
        """Read a mask: uint8 (H, W) indices into `classes`, 255 void. Raises `MaskError`.

        `photo_wh` is the size of its photo in pixels, which a mask must have unless `any_size`; None if nobody knows.
        `label` is the name of
        the folder that the photo lies in.
        """

    def describe(self, names: Sequence[str] | None = None) -> str:
        """What these masks (default: all) were read as and hold, in one sentence, from a sample of them."""


@dataclass(frozen=True, eq=False)
class MaskFolder:
    """A folder of mask files; see `Masks`."""

    source: Path
    options: MaskOptions
    reading: Reading
    files: pd.DataFrame

    @property
    def format(self) -> str:
        return self.reading.format

    @property
    def classes(self) -> tuple[str, ...]:
        return self.reading.classes

    @property
    def reading_options(self) -> str:
        return self.reading.describe_options()

    def file(self, name: str) -> Path:
        return self.source / name

    def read(
        self, name: str, photo_wh: tuple[int, int] | None, label: str | None = None, *, any_size: bool = False
    ) -> Mask:
        raw = read_raw(self.source, name)
        if not any_size and photo_wh is not None:
            check_size(f"The mask {name!r}", raw.size_wh, photo_wh)
        return self.reading.decode(raw, name, label)

    def describe(self, names: Sequence[str] | None = None) -> str:
        return _describe_sample(self, names)


@dataclass(frozen=True, eq=False)
class _DrawnMasks:
    """Masks that are drawn from annotations, whose classes may include some that mean void."""

    options: MaskOptions
    content: CocoFile | YoloFolder
    files: pd.DataFrame
    classes: tuple[str, ...]
    table: Mask
    """uint8 (256,): index that `content` gives -> index into `classes`, or 255."""

    @property
    def source(self) -> Path:
        return self.content.path

    def _convert(self, draw: Callable[[], Mask]) -> Mask:
        """What `draw` makes, in indices into `classes`. Raises `MaskError`."""
        try:
            return self.table[draw()]
        except DatasetError as error:
            raise MaskError(str(error)) from None


@dataclass(frozen=True, eq=False)
class CocoMasks(_DrawnMasks):
    """The masks of a COCO file, called as its images; see `Masks`."""

    content: CocoFile
    format: str = "coco"
    reading_options: str = ""

    def file(self, name: str) -> Path:
        return self.content.file(name)

    def read(
        self, name: str, photo_wh: tuple[int, int] | None, _: str | None = None, *, any_size: bool = False
    ) -> Mask:
        mask = self._convert(lambda: self.content.mask(name, photo_wh))
        if not any_size and photo_wh is not None:
            check_size(f"The mask of {name!r}", (mask.shape[1], mask.shape[0]), photo_wh)
        return mask

    def describe(self, names: Sequence[str] | None = None) -> str:
        return " ".join(filter(None, (_describe_sample(self, names), self.content.strays)))


@dataclass(frozen=True, eq=False)
class YoloMasks(_DrawnMasks):
    """The masks of a folder of YOLO's label files; see `Masks`."""

    content: YoloFolder
    format: str = "yolo"

    @property
    def reading_options(self) -> str:
        return "numbering=" + ",".join(str(self.table[index]) for index in self.content.numbering)

    def file(self, name: str) -> Path:
        return self.source / name

    def read(
        self, name: str, photo_wh: tuple[int, int] | None, _: str | None = None, *, any_size: bool = False
    ) -> Mask:
        del any_size  # polygons have no size of their own
        return self._convert(lambda: self.content.mask(name, photo_wh or _UNKNOWN_SIZE))

    def describe(self, names: Sequence[str] | None = None) -> str:
        return _describe_sample(self, names)


def open_masks(source: Path, options: MaskOptions | None = None, *, wanted: Sequence[str] | None = None) -> Masks:
    """Settle how the masks are read, from a sample of them and from what `options` say.

    `wanted` are the classes that someone wants to choose: see `detection.decide_reading`. Raises `DatasetError` if
    there are no masks, or if they contradict the options or fit two formats, and `UsageError` for wrong options.
    """
    options = options or MaskOptions()
    if not source.exists():
        raise UsageError(f"There is no {str(source)!r}: name the folder that holds the masks, or a COCO JSON file.")
    if options.format == "coco" or (options.format == AUTO and source.suffix.lower() == ".json"):
        return _open_coco(source, options)
    if options.format == "yolo" or (options.format == AUTO and has_labels(source) and not has_masks(source)):
        return _open_yolo(source, options, wanted)
    files = scan_masks(source)
    if options.suffix is not None:
        stems = files["path"].map(lambda path: PurePosixPath(path).stem)
        files = files[stems.str.endswith(options.suffix)].reset_index(drop=True)
        if files.empty:
            raise DatasetError(f"No mask in {source.name!r} ends in {options.suffix!r}: check `suffix`.")
    raws = [raw for _, raw in sample_raws(source, list(files["path"]))]
    if not raws:
        read_raw(source, files["path"].iloc[0])  # raises with what is wrong
    evidence = detection.gather_evidence(iter(raws))
    labelmap = find_labelmap(source, options)
    options = _with_listed_names(source, options, labelmap)
    reading = detection.decide_reading(evidence, options, labelmap=labelmap, wanted=wanted, names=list(files["path"]))
    return MaskFolder(source, options, reading, files)


def _with_listed_names(folder: Path, options: MaskOptions, labelmap: Labelmap | None) -> MaskOptions:
    """The options with the class names that labelme2voc writes beside its masks, unless something else names them."""
    if options.format != AUTO or options.classes or labelmap is not None:
        return options
    for file in (folder / CLASS_NAMES, folder.resolve().parent / CLASS_NAMES):
        if file.is_file():
            return replace(options, classes=read_class_names(file))
    return options


def _open_coco(file: Path, options: MaskOptions) -> CocoMasks:
    if not file.is_file():
        raise UsageError(f"{str(file)!r} is not a file: name the JSON file of the COCO annotations.")
    _refuse_value_options(options, "COCO files")
    if options.classes:
        raise UsageError("A COCO file names its classes itself: leave out `classes`.")
    content = read_coco(file)
    stats = {path: path.stat() for path in {content.file(name) for name in content.images}}
    rows = [(name, stats[content.file(name)]) for name in sorted(content.images)]
    files = pd.DataFrame(
        [(name, status.st_size, status.st_mtime_ns) for name, status in rows], columns=["path", "bytes", "mtime_ns"]
    )
    return CocoMasks(options, content, files, *drop_void(content.classes))


def _open_yolo(folder: Path, options: MaskOptions, wanted: Sequence[str] | None) -> YoloMasks:
    _refuse_value_options(options, "YOLO labels")
    content = read_yolo(folder, _drop_background(options.classes), default=_drop_background(wanted))
    stats = [(folder / name).stat() for name in content.names]
    columns = {"bytes": [one.st_size for one in stats], "mtime_ns": [one.st_mtime_ns for one in stats]}
    files = pd.DataFrame({"path": list(content.names), **columns})
    return YoloMasks(options, content, files, *drop_void(content.classes))


def _drop_background(classes: Sequence[str] | None) -> Sequence[str] | None:
    """The names without a leading background: YOLO's class 0 is the first one after it."""
    return classes[1:] if classes and canonical_name(classes[0]) == BACKGROUND else classes


def _refuse_value_options(options: MaskOptions, what: str) -> None:
    if options.offset or options.ignore:
        raise UsageError(f"`offset` and `ignore` are for values of pixels, which {what} do not hold: leave them out.")


def find_labelmap(folder: Path, options: MaskOptions) -> Labelmap | None:
    """The colours that are named by `options`, else by a labelmap.txt in the folder or beside it."""
    if options.labelmap is not None:
        return read_labelmap(options.labelmap)
    if options.format not in ("auto", "color") or options.classes:
        return None
    for file in (folder / LABELMAP, folder.resolve().parent / LABELMAP):
        if file.is_file():
            return read_labelmap(file)
    return None


def read_raw(folder: Path, name: str) -> RawMask:
    """Read a mask file as it is. Raises `MaskError`."""
    try:
        return decode_raw(image.read_bytes(folder / name))
    except BadImage as error:
        raise MaskError(
            f"The mask {name!r} cannot be read ({error.detail.rstrip('.')}): "
            "expected a PNG, TIFF, GIF or BMP of class indices or colours."
        ) from None


def sample_raws(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, RawMask]]:
    """Some masks, evenly spread over the folder; those that cannot be read are left out."""
    for name in _sample(names):
        with contextlib.suppress(MaskError):
            yield name, read_raw(folder, name)


def sample_masks(masks: Masks, names: Sequence[str]) -> Iterator[Mask]:
    """Some of these masks, evenly spread; those that cannot be read are left out."""
    for name in _sample(names):
        with contextlib.suppress(MaskError):
            yield masks.read(name, None, any_size=True)


def _sample(names: Sequence[str]) -> Sequence[str]:
    return names[:: max(1, len(names) // _SAMPLE)]


def check_size(mask: str, mask_wh: tuple[int, int], photo_wh: tuple[int, int], owner: str = "photo") -> None:
    """Raise `MaskError` if a mask (`The mask 'a.png'`) does not have the size of its photo, or of another `owner`."""
    if mask_wh == photo_wh:
        return
    hint = (
        " It fits the photo on its side: the mask was drawn without the photo's EXIF orientation."
        if mask_wh == photo_wh[::-1]
        else ""
    )
    raise MaskError(
        f"{mask} is {mask_wh[0]} x {mask_wh[1]} pixels and its {owner} {photo_wh[0]} x {photo_wh[1]}: both must have "
        f"the same size.{hint}"
    )


def _describe_sample(masks: Masks, names: Sequence[str] | None) -> str:
    chosen = list(masks.files["path"] if names is None else names)
    pixels, looked_at = np.zeros(256, np.int64), len(_sample(chosen))
    for mask in sample_masks(masks, chosen):
        pixels += np.bincount(mask.ravel(), minlength=256)
    sentence = describe_masks(len(chosen), masks.format, masks.classes, pixels)
    return sentence if looked_at == len(chosen) else f"{sentence[:-1]} (in a sample of {looked_at})."


def describe_masks(masks: int, format: str, classes: Sequence[str], pixels: NDArray[np.int64]) -> str:
    """`445 masks read as VOC indices: background, cat, dog; 1.2 % ignored`; `pixels` int64 (256,) per index."""
    present = [name for index, name in enumerate(classes) if pixels[index]]
    ignored = pixels[VOID] / max(int(pixels.sum()), 1)
    return (
        f"{count_masks(masks)} read as {_FORMAT_NAMES[format]}: {', '.join(present) or 'no class at all'}"
        f"{f'; {ignored:.1%} ignored'.replace('%', ' %') if ignored else ''}."
    )


def count_masks(number: int) -> str:
    return f"{number:,} mask{'' if number == 1 else 's'}"


def leave_out_masks(masks: Masks, folder: PhotoRoot, names: Iterable[str]) -> list[bool]:
    """For each of these files of a folder, whether it may be a photo: a mask that lies among photos is not one."""
    if isinstance(folder, Bucket):
        return [True for _ in names]
    source, root = os.path.realpath(masks.source), os.path.realpath(folder)
    own = {os.path.join(source, name) for name in masks.files["path"]}
    return [os.path.join(root, name) not in own for name in names]


def match_photos(masks: Masks, photos: Sequence[str]) -> Matches:
    """Match photos to the masks by name. Raises `DatasetError` if no photo has a mask, or a match is ambiguous."""
    names = list(masks.files["path"])
    matches = match_masks(photos, names, masks.options.suffix)
    if not matches.masks:
        raise no_match_error(photos, names, masks.source)
    return matches
