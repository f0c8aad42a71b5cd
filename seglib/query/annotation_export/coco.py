"""Export masks as COCO instances: one annotation per connected region, at the photo's size.

A region (8 neighbours) is kept exactly: as a run-length encoding that pycocotools reads, or as one polygon along the
edges of its pixels, in which holes are joined to the outline by a cut of no width. Background and void are not
annotated. A category's id is its class's index where the background is the first class.
"""

import json
from collections.abc import Iterable, Iterator

from seglib.masks.regions import Region
from seglib.query.annotation_export.annotation_set import AnnotationSet
from seglib.query.export import Content, refuse_clashes

FILE_NAME = "annotations.json"


def coco_files(sets: Iterable[AnnotationSet], *, polygons: bool = False) -> Iterator[tuple[str, Content]]:
    """Yield (relative file name, JSON) per run and dataset."""
    sets = list(sets)
    refuse_clashes([one.name(FILE_NAME) for one in sets], [f"{one.run}: {one.dataset}" for one in sets])
    for one in sets:
        yield one.name(FILE_NAME), encode_coco(one, polygons=polygons)


def encode_coco(annotated: AnnotationSet, *, polygons: bool = False) -> Iterator[bytes]:
    """Yield the JSON piece by piece."""
    ids = {index: number for number, index in enumerate(annotated.annotated_classes, 1)}
    head: dict[str, object] = {
        "info": {"description": f"Masks of {annotated.run} over {annotated.dataset}, made by seglib"},
        "licenses": [],
        "categories": [
            {"id": ids[index], "name": name, "supercategory": ""} for index, name in annotated.annotated_classes.items()
        ],
    }
    yield _encode(head)[:-1] + b',\n"images": [\n'
    photos = annotated.photos[["path", "width", "height"]].astype("object").itertuples(index=False, name=None)
    yield from _separate(
        {"id": number, "file_name": path, "width": int(width), "height": int(height)}
        for number, (path, width, height) in enumerate(photos, 1)
    )
    yield b'\n],\n"annotations": [\n'
    yield from _separate(_annotations(annotated, ids, polygons))
    yield b"\n]}\n"


def _annotations(annotated: AnnotationSet, ids: dict[int, int], polygons: bool) -> Iterator[dict[str, object]]:
    count = 0
    for image_id, photo in enumerate(annotated.annotated_photos(), 1):
        for region in annotated.regions(photo.mask):
            count += 1
            yield {
                "id": count,
                "image_id": image_id,
                "category_id": ids[region.class_index],
                "segmentation": _encode_shape(region, photo.size_wh, polygons),
                "area": region.area,
                "bbox": list(region.bbox),
                "iscrowd": 0,
            }


def _encode_shape(region: Region, size_wh: tuple[int, int], polygons: bool) -> object:
    if polygons:
        return [region.outline().ravel().tolist()]
    return {"size": [size_wh[1], size_wh[0]], "counts": region.encode_rle(size_wh)}


def _separate(records: Iterable[dict[str, object]]) -> Iterator[bytes]:
    for number, record in enumerate(records):
        yield (b",\n" if number else b"") + _encode(record)


def _encode(record: dict[str, object]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
