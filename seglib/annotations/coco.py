"""Read COCO annotation files as masks: instances, stuff and panoptic JSON.

`read_coco` parses the JSON once and `CocoFile.mask` makes one image's mask. Where annotations of an image overlap, the
smaller one lies on top and, of equals, the later one, as when ultralytics trains on overlapping instances; crowds lie
below all others. (torchvision's training references ignore such pixels instead.) Pixels that no annotation covers are
background; in panoptic files, where every pixel belongs to a segment or to id 0, the latter is void.
"""

import io
import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.classes import BACKGROUND, VOID, Mask, are_valid_class_names
from seglib.data import image
from seglib.errors import BadImage, DatasetError
from seglib.masks.shapes import Counts, check_counts, decode_counts, paint_shapes, rasterize

MAX_JSON_BYTES = 2_000_000_000
"""Larger files are not read. COCO's own have up to 1 GB."""

_EXPECTED = "expected a COCO file with the lists images, annotations and categories"


class Polygons(NamedTuple):
    packed: tuple[bytes, ...]
    """Per polygon x1, y1, x2, y2, ... in pixels, as float64."""


class Rle(NamedTuple):
    size: Any
    """[height, width], if it is right."""
    counts: Any
    """A text, or whole numbers packed as int64, if it is right."""


class Segment(NamedTuple):
    """One annotation of an image."""

    class_index: int
    """Index into the classes."""
    is_crowd: bool
    shape: Polygons | Rle


class PanopticImage(NamedTuple):
    """The PNG of one image's segment ids."""

    file_name: str
    indices: dict[int, int]
    """Segment id -> class index."""


class _Annotation(NamedTuple):
    """What is kept of an instance or stuff annotation while a file is parsed, to spare memory."""

    image_id: Any
    category_id: Any
    is_crowd: Any
    shape: Polygons | Rle | str
    """A sentence where there is none that can be used."""


class _PanopticSegment(NamedTuple):
    id: Any
    category_id: Any


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The annotations of a COCO file; can be pickled."""

    path: Path
    classes: tuple[str, ...]
    """Background first, then the categories in the order of their ids."""
    images: dict[str, tuple[int, int] | None]
    """File name, with `/` -> (width, height) as the file gives them, 0 for a side that is no number; None without."""
    strays: str
    """What became of annotations whose image_id is no image's id, in one sentence; empty without any."""
    _contents: dict[str, list[Segment] | PanopticImage | str] = field(repr=False)
    """File name -> what is annotated, or a sentence that says why this cannot be used."""

    def file(self, file_name: str) -> Path:
        """The file that holds this image's annotations: its panoptic PNG if there is one, else the JSON."""
        content = self._contents.get(file_name)
        png = _find_png(self.path, content) if isinstance(content, PanopticImage) else None
        return png or self.path

    def mask(self, file_name: str, photo_wh: tuple[int, int] | None = None) -> Mask:
        """Return uint8 (H, W): indices into `classes`, 255 void.

        `photo_wh` is the photo's size in pixels, for files that give none. Raises `DatasetError` if this image's
        annotations cannot be used; those of other images may be sound.
        """
        if file_name not in self.images:
            raise DatasetError(f"{self.path.name!r} has no image {file_name!r}.")
        content = self._contents[file_name]
        size_wh = self.images[file_name] or photo_wh or _measure(content)
        problem = content if isinstance(content, str) else _describe_bad_size(size_wh)
        if problem:
            raise DatasetError(f"{file_name!r} in {self.path.name!r}: {problem}")
        try:
            if isinstance(content, PanopticImage):
                return _read_panoptic_png(self.path, content, size_wh)
            assert not isinstance(content, str)
            return paint_shapes(
                ((one.class_index, one.is_crowd, _decode(one.shape, size_wh)) for one in content), size_wh
            )
        except ValueError as error:
            raise DatasetError(f"{file_name!r} in {self.path.name!r}: {error}") from None


def read_coco(path: Path) -> CocoFile:
    """Read an instances, stuff or panoptic file.

    Raises `DatasetError` if it is not such a file, two of its images or categories have the same name or id, or there
    are more than 254 categories. What is wrong with single images is raised by `CocoFile.mask`.
    """
    name = path.name
    document = _parse(path)
    if isinstance(document, list):
        raise DatasetError(f"{name!r} holds a list, as files of detection results do: {_EXPECTED}.")
    if not isinstance(document, dict):
        raise DatasetError(f"{name!r} holds {type(document).__name__}: {_EXPECTED}.")
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(document.get(key), list)]
    if missing:
        raise DatasetError(f"{name!r} has no list {missing[0]!r}: {_EXPECTED}.")
    classes, indices = _read_categories(name, document["categories"])
    names, images = _read_images(name, document["images"])
    contents, strays = _read_annotations(name, document["annotations"], names, indices)
    return CocoFile(path, classes, images, _describe_strays(name, strays, names), contents)


def is_background(name: str) -> bool:
    """Whether a class of this name is the background."""
    return name.strip().strip("_").casefold() == BACKGROUND


# --- parsing -----------------------------------------------------------------------------------------------------


def _parse(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise DatasetError(f"{path.name!r} has more than {MAX_JSON_BYTES // 10**9} GB: {_EXPECTED}, in parts.")
        return json.loads(path.read_bytes(), object_hook=_compact)
    except OSError as error:
        raise DatasetError(f"{path.name!r} cannot be read ({error.strerror}): name a COCO file.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        detail = str(error).replace("\n", " ")[:80] or type(error).__name__
        raise DatasetError(f"{path.name!r} is not valid JSON ({detail}): {_EXPECTED}, and whole.") from None


def _compact(record: dict[str, Any]) -> Any:
    """Replace a parsed annotation by what is used of it, so that a large file takes a fifth of the memory."""
    if "category_id" in record:
        category_id = record["category_id"]
        if "image_id" not in record:
            return _PanopticSegment(record.get("id"), category_id)
        return _Annotation(
            record["image_id"], category_id, record.get("iscrowd", 0), _compact_shape(record.get("segmentation"))
        )
    return record


def _compact_shape(segmentation: Any) -> Polygons | Rle | str:
    """Pack the numbers of a segmentation; one that cannot be used becomes a sentence."""
    if not segmentation:
        return "an annotation has no segmentation (a box alone says nothing of its pixels)."
    try:
        if isinstance(segmentation, list):
            return Polygons(tuple(array("d", polygon).tobytes() for polygon in segmentation))
        counts = segmentation["counts"]
        return Rle(segmentation.get("size"), array("q", counts).tobytes() if isinstance(counts, list) else counts)
    except (TypeError, KeyError, OverflowError):
        return "an annotation's segmentation is neither a list of polygons, each a list of numbers, nor an RLE."


def _read_categories(source: str, categories: list[Any]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return the classes, background first, and category id -> class index."""
    named: dict[int, str] = {}
    for category in categories:
        number, name = (category.get("id"), category.get("name")) if isinstance(category, dict) else (None, None)
        if type(number) is not int or not isinstance(name, str):
            raise DatasetError(f"{source!r} has a category without a number 'id' or a 'name': add them.")
        if number in named:
            raise DatasetError(f"{source!r} has two categories with the id {number}: ids must differ.")
        named[number] = BACKGROUND if is_background(name) else name
    ordered = [named[number] for number in sorted(named)]
    classes = (BACKGROUND, *(name for name in ordered if name != BACKGROUND))
    if len(classes) > VOID:
        raise DatasetError(
            f"{source!r} has {len(classes) - 1:,} categories, and a mask holds at most {VOID - 1} beside the "
            "background: leave out or merge some."
        )
    if len(set(ordered)) < len(ordered):
        twice = next(name for name in ordered if ordered.count(name) > 1)
        raise DatasetError(f"{source!r} has two categories called {twice!r}: their names must differ.")
    if not named or not are_valid_class_names(classes):
        raise DatasetError(f"{source!r} has no categories with printable names of 1 to 200 characters: name them.")
    return classes, {number: classes.index(name) for number, name in named.items()}


def _read_images(source: str, images: list[Any]) -> tuple[dict[Any, str], dict[str, tuple[int, int] | None]]:
    """Return image id -> file name, and file name -> (width, height) or None."""
    names: dict[Any, str] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for one in images:
        number, name = (one.get("id"), one.get("file_name")) if isinstance(one, dict) else (None, None)
        if not isinstance(number, int | str) or not isinstance(name, str) or not name:
            raise DatasetError(f"{source!r} has an image without 'id' or 'file_name': add them.")
        name = name.replace("\\", "/")  # written on Windows
        for kind, value, known in (("id", number, names), ("file_name", name, sizes)):
            if value in known:
                raise DatasetError(f"{source!r} has two images with the {kind} {value!r}: they must differ.")
        names[number] = name
        sides = one.get("width"), one.get("height")
        sizes[name] = None if sides == (None, None) else (_as_side(sides[0]), _as_side(sides[1]))
    if not names:
        raise DatasetError(f"{source!r} lists no images: {_EXPECTED}.")
    return names, sizes


def _as_side(value: object) -> int:
    """Return a number of pixels, which pandas may have written as 640.0; 0 if it is none."""
    return int(value) if isinstance(value, int | float) and value == value // 1 else 0


def _read_annotations(
    source: str, annotations: list[Any], names: Mapping[Any, str], indices: Mapping[int, int]
) -> tuple[dict[str, list[Segment] | PanopticImage | str], list[Any]]:
    """Return what is annotated by file name, and the image_id of each annotation that belongs to no image."""
    is_panoptic = any(isinstance(one, dict) and "segments_info" in one for one in annotations)
    contents: dict[str, list[Segment] | PanopticImage | str] = {
        name: "it has no annotation, and in a panoptic file each image has one." if is_panoptic else []
        for name in names.values()
    }
    strays: list[Any] = []
    by_text = {str(number): name for number, name in names.items()}
    for one in annotations:
        if not isinstance(one, _Annotation) and not (isinstance(one, dict) and "segments_info" in one):
            raise DatasetError(
                f"{source!r} has annotations without 'image_id' and 'category_id', such as captions: {_EXPECTED}."
            )
        number = one.get("image_id") if isinstance(one, dict) else one.image_id
        name = names.get(number) if isinstance(number, int | float | str) else None
        if name is None:
            strays.append(number)
            if (meant := by_text.get(str(number))) is not None:
                contents[meant] = f"an annotation has the 'image_id' {number!r:.40}: write it as the image's 'id'."
            continue
        content = contents[name]
        if isinstance(one, dict):
            is_first = not isinstance(content, PanopticImage)
            contents[name] = _read_panoptic(one, indices) if is_first else "it has two annotations with segments."
        elif isinstance(content, list):
            segment = _read_segment(one, indices)
            if isinstance(segment, str):
                contents[name] = segment
            else:
                content.append(segment)
    if annotations and len(strays) == len(annotations):
        raise DatasetError(
            f"None of the {len(annotations):,} annotations of {source!r} has the 'image_id' of one of its images: "
            "it is the 'id' of an image, both numbers or both texts."
        )
    return contents, strays


def _describe_strays(source: str, strays: list[Any], names: Mapping[Any, str]) -> str:
    if not strays:
        return ""
    by_text = {str(number): number for number in names}
    one = next((one for one in strays if str(one) in by_text), strays[0])
    meant = f", where the image has {by_text[str(one)]!r:.40}" if str(one) in by_text else ""
    return (
        f"{len(strays):,} annotation{'s' if len(strays) > 1 else ''} of {source!r} left out: no image has the "
        f"'image_id' (e.g. {one!r:.40}{meant})."
    )


def _read_segment(one: _Annotation, indices: Mapping[Any, int]) -> Segment | str:
    """Return the annotation, or a sentence that says why it cannot be used."""
    index = indices.get(one.category_id) if isinstance(one.category_id, int | float) else None
    if index is None:
        return f"an annotation has the category_id {one.category_id!r}, which no category has."
    if isinstance(one.shape, str):
        return one.shape
    return Segment(index, bool(one.is_crowd), one.shape)


def _read_panoptic(one: dict[str, Any], indices: Mapping[int, int]) -> PanopticImage | str:
    file_name, segments = one.get("file_name"), one["segments_info"]
    if not isinstance(file_name, str) or not isinstance(segments, list):
        return "its annotation has no 'file_name', or no list 'segments_info'."
    path = PurePosixPath(file_name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        return f"its PNG {file_name!r} lies outside of the folder."
    table: dict[int, int] = {}
    for segment in segments:
        if not isinstance(segment, _PanopticSegment) or type(segment.id) is not int or segment.id <= 0:
            return "a segment has no positive 'id' or no 'category_id'."
        if not isinstance(segment.category_id, int) or segment.category_id not in indices:
            return f"a segment has the category_id {segment.category_id!r}, which no category has."
        table[segment.id] = indices[segment.category_id]
    return PanopticImage(path.as_posix(), table)


# --- one image ---------------------------------------------------------------------------------------------------


def _measure(content: list[Segment] | PanopticImage | str) -> tuple[int, int]:
    """Return the (width, height) that an image's annotations need, where nothing else gives its size."""
    shapes = [one.shape for one in content] if isinstance(content, list) else []
    for shape in shapes:
        if isinstance(shape, Rle) and isinstance(shape.size, list) and len(shape.size) == 2:
            return _as_side(shape.size[1]), _as_side(shape.size[0])
    corners = [
        np.frombuffer(polygon, np.float64)[: len(polygon) // 16 * 2].reshape(-1, 2).max(axis=0, initial=1)
        for shape in shapes
        if isinstance(shape, Polygons)
        for polygon in shape.packed
    ]
    width, height = np.nan_to_num(np.ceil(np.max([[1, 1], *corners], axis=0)), nan=0, posinf=0).tolist()
    return int(width), int(height)


def _describe_bad_size(size_wh: tuple[int, int]) -> str:
    width, height = size_wh
    if min(size_wh) > 0 and width * height <= image.MAX_PIXELS:
        return ""
    return f"its size is given as {width} x {height}, expected 1 to {image.MAX_PIXELS:,} pixels."


def _decode(shape: Polygons | Rle, size_wh: tuple[int, int]) -> Counts:
    """Return the pixels of an annotation. Raises `ValueError`."""
    if isinstance(shape, Polygons):
        return rasterize([np.frombuffer(polygon, np.float64) for polygon in shape.packed], size_wh)
    size, counts = shape
    if size != [size_wh[1], size_wh[0]]:
        raise ValueError(f"an RLE is for {size!r} (height, width), and the image has {size_wh[1]} x {size_wh[0]}.")
    if isinstance(counts, str):
        return check_counts(decode_counts(counts.encode("ascii", "replace")), size_wh)
    if not isinstance(counts, bytes):
        raise ValueError("an RLE has counts that are neither a text nor a list of whole numbers.")
    return check_counts(np.frombuffer(counts, np.int64), size_wh)


def _find_png(source: Path, content: PanopticImage) -> Path | None:
    places = (source.parent / source.stem / content.file_name, source.parent / content.file_name)
    return next((place for place in places if place.is_file()), None)


def _read_panoptic_png(source: Path, content: PanopticImage, size_wh: tuple[int, int]) -> Mask:
    """Read an image's segment ids (red + 256 green + 65536 blue) as class indices. Raises `ValueError`."""
    file = _find_png(source, content)
    if file is None:
        raise ValueError(f"its PNG {content.file_name!r} is neither in {source.stem!r} beside the file nor beside it.")
    ids, inverse = np.unique(_read_segment_ids(file, size_wh), return_inverse=True)
    unknown = set(ids.tolist()) - set(content.indices) - {0}
    if unknown:
        raise ValueError(f"its PNG holds the segment {min(unknown)}, which 'segments_info' does not list.")
    table = np.array([content.indices.get(one, VOID) for one in ids.tolist()], np.uint8)
    return table[inverse].reshape(size_wh[1], size_wh[0])


def _read_segment_ids(file: Path, size_wh: tuple[int, int]) -> NDArray[np.uint32]:
    """uint32 (H, W)."""
    try:
        with Image.open(io.BytesIO(image.read_bytes(file)), formats=("PNG",)) as png:
            if png.size != size_wh:
                raise ValueError(
                    f"its PNG has {png.width} x {png.height} pixels, expected {size_wh[0]} x {size_wh[1]}."
                )
            if png.mode not in ("RGB", "RGBA"):
                raise ValueError(f"its PNG has the mode {png.mode}: expected RGB, in which panoptic ids are written.")
            channels = np.asarray(png).astype(np.uint32)
    except ValueError:
        raise
    except BadImage as error:
        raise ValueError(f"its PNG cannot be read ({error.detail.rstrip('.')}).") from None
    except Exception as error:  # decoders may raise anything on hostile input
        raise ValueError(f"its PNG cannot be read ({type(error).__name__}).") from None
    return np.asarray(channels[..., 0] | channels[..., 1] << 8 | channels[..., 2] << 16)
