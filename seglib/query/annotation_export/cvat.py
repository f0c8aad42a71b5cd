"""Export masks in CVAT's format "Segmentation mask 1.1": masks in colours, with a list of the colours.

    labelmap.txt                            name:red,green,blue:: per class
    ImageSets/Segmentation/default.txt      names of the masks, without `.png`
    SegmentationClass/<path>.png            RGB, at the photo's size

CVAT takes this as a zip file (https://docs.cvat.ai/docs/dataset_management/formats/format-smask/). The colours are
Pascal VOC's, by class index.
"""

from collections.abc import Iterable, Iterator

from PIL import Image

from seglib.classes import VOID, palette
from seglib.errors import UsageError
from seglib.masks import png
from seglib.query.annotation_export.annotation_set import AnnotationSet
from seglib.query.export import Content, refuse_clashes, safe_path

LABELMAP_NAME = "labelmap.txt"
LIST_NAME = "ImageSets/Segmentation/default.txt"
MASKS_FOLDER = "SegmentationClass"

_VOID_NAME = "void"
_COLOURS = palette("voc", [""] * 256)


def cvat_files(sets: Iterable[AnnotationSet]) -> Iterator[tuple[str, Content]]:
    """Yield (relative file name, content).

    Raises `UsageError` if two photos differ only in their ending, or a name cannot be written into a list.
    """
    sets = list(sets)
    for one in sets:
        paths = one.photos["path"].astype("object").tolist()
        refuse_clashes([one.name(_item(path)) for path in paths], [f"{one.run}: {path}" for path in paths])
        _refuse_names([*one.classes, *paths], one.classes)
    refuse_clashes([one.name(LABELMAP_NAME) for one in sets], [f"{one.run}: {one.dataset}" for one in sets])
    for one in sets:
        items = [_item(path) for path in one.photos["path"].astype("object")]
        yield one.name(LIST_NAME), "".join(f"{item}\n" for item in items).encode("utf-8", "backslashreplace")
        has_void = False
        for photo in one.annotated_photos():
            has_void |= bool((photo.mask == VOID).any())
            picture = png.encode_png(Image.fromarray(_COLOURS[photo.mask]))
            yield one.name(f"{MASKS_FOLDER}/{_item(photo.path)}.png"), picture
        yield one.name(LABELMAP_NAME), _encode_labelmap(one.classes, has_void).encode()


def _item(path: str) -> str:
    return safe_path(path).with_suffix("").as_posix()


def _encode_labelmap(classes: tuple[str, ...], has_void: bool) -> str:
    named = dict(enumerate(classes)) | ({VOID: _VOID_NAME} if has_void else {})
    lines = [f"{name}:{','.join(map(str, _COLOURS[index].tolist()))}::\n" for index, name in named.items()]
    return "".join(["# label:color_rgb:parts:actions\n", *lines])


def _refuse_names(names: list[str], classes: tuple[str, ...]) -> None:
    for name in names:
        if "\n" in name or "\r" in name or (name in classes and (":" in name or name.startswith("#"))):
            raise UsageError(
                f"The name {name!r} cannot be written into CVAT's lists, which have one name per line, up to a colon: "
                "take another export, or rename it."
            )
