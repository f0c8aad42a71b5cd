"""What a person may say about the masks that they bring (`MaskOptions`); everything has a default."""

from dataclasses import dataclass
from pathlib import Path

from seglib.classes import are_valid_class_names
from seglib.errors import UnknownName, UsageError

AUTO = "auto"

MASK_FORMATS: tuple[str, ...] = (AUTO, "index", "voc", "binary", "trimap", "color", "coco", "yolo")

FORMAT_HELP: dict[str, str] = {
    AUTO: "look at the masks",
    "index": "each pixel is an index into the classes given; 255 is void",
    "voc": "Pascal VOC's 21 classes, by index or in VOC's colours",
    "binary": "0 is the background, one other value the class given",
    "trimap": "Oxford-IIIT Pet: 1 pet, 2 background, 3 border, which is ignored",
    "color": "one colour per class, named in a labelmap.txt, else VOC's colours",
    "coco": "a COCO JSON file: instances, stuff or panoptic",
    "yolo": "a folder of YOLO segmentation .txt files",
}


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """How to read a folder of masks, or a COCO file.

    Raises:
        UsageError: A value is invalid, or two do not go together.
    """

    format: str = AUTO
    """One of `MASK_FORMATS`."""
    classes: tuple[str, ...] | None = None
    """Class names in index order; of a binary mask, background and the other class, or the other class alone."""
    ignore: tuple[int, ...] = ()
    """Values that are void, besides 255."""
    offset: int = 0
    """Index of a class = value - offset; lower values are void. ADE20K counts classes from 1, so its offset is 1."""
    labelmap: Path | None = None
    """CVAT's labelmap.txt, `name:r,g,b::` per line; found by itself beside the masks."""
    suffix: str | None = None
    """What the masks' names end in, besides the photos' names; the usual ones are found by themselves."""

    def __post_init__(self) -> None:
        if self.format not in MASK_FORMATS:
            raise UnknownName("mask format", self.format, MASK_FORMATS)
        if type(self.offset) is not int or not all(type(one) is int and 0 <= one <= 0xFFFF for one in self.ignore):
            raise UsageError("`offset` is a whole number, and `ignore` whole numbers from 0 to 65535.")
        if self.classes is not None and not are_valid_class_names(self.classes):
            raise UsageError(
                f"`classes` names {len(self.classes)} classes: expected 1 to 255 different names of printable "
                "characters."
            )
        if self.format == "trimap" and self.classes:
            raise UsageError("A trimap holds only the pet and its background: leave out `classes`.")
        if self.format == "coco" and self.classes:
            raise UsageError("A COCO file names its classes itself: leave out `classes`.")
        if self.labelmap is not None and (self.classes or self.format not in (AUTO, "color")):
            raise UsageError("A `labelmap` names colours and their classes: leave out `classes` and other formats.")
        if self.format in ("color", "coco", "yolo") and (self.offset or self.ignore):
            raise UsageError("`offset` and `ignore` are for values of pixels: leave them out with this `format`.")
