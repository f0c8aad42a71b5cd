"""Export masks as YOLO segmentation labels: a text file per photo, a polygon per connected region.

Polygons follow the edges of the pixels at the photo's size; a hole is joined to the outline by a cut of no width, so
that no polygon covers another. Background and void are not labelled. Photos are not copied: a tool expects them in
`images/`, with their paths in the dataset.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from seglib.query.annotation_export.annotation_set import AnnotatedPhoto, AnnotationSet
from seglib.query.export import Content, refuse_clashes, safe_path

YAML_NAME = "data.yaml"


def yolo_files(sets: Iterable[AnnotationSet]) -> Iterator[tuple[str, Content]]:
    """Yield (relative file name, content): data.yaml, and one label file per photo.

    Raises `UsageError` if two photos differ only in their ending, and so would share a label file.
    """
    sets = list(sets)
    for one in sets:
        paths = one.photos["path"].astype("object").tolist()
        refuse_clashes([one.name(_label_name(path)) for path in paths], [f"{one.run}: {path}" for path in paths])
    refuse_clashes([one.name(YAML_NAME) for one in sets], [f"{one.run}: {one.dataset}" for one in sets])
    for one in sets:
        numbers = {index: number for number, index in enumerate(one.annotated_classes)}
        yield one.name(YAML_NAME), _encode_yaml(one).encode("utf-8", "backslashreplace")
        for photo in one.annotated_photos():
            yield one.name(_label_name(photo.path)), _encode_labels(one, photo, numbers).encode()


def _label_name(path: str) -> str:
    """Name of a photo's label file, as tools find it: the last folder `images` becomes `labels`, the ending `.txt`."""
    before, _, after = f"/images/{safe_path(path)}".rpartition("/images/")
    return f"{before}/labels/{PurePosixPath(after).with_suffix('.txt')}".lstrip("/")


def _encode_labels(annotated: AnnotationSet, photo: AnnotatedPhoto, numbers: dict[int, int]) -> str:
    lines = []
    for region in annotated.regions(photo.mask):
        shares = region.outline() / np.array(photo.size_wh)
        lines.append(f"{numbers[region.class_index]} {' '.join(f'{share:.6f}' for share in shares.ravel().tolist())}\n")
    return "".join(lines)


def _encode_yaml(annotated: AnnotationSet) -> str:
    """Texts are quoted as in JSON, which is YAML too."""
    names = "".join(
        f"  {number}: {json.dumps(name, ensure_ascii=False)}\n"
        for number, name in enumerate(annotated.annotated_classes.values())
    )
    folders = "".join(
        f"{split}: {json.dumps(folder, ensure_ascii=False)}\n" for split, folder in _split_folders(annotated.photos)
    )
    return (
        f"# Masks of {annotated.run}, made by seglib. Put the photos into images/, with their paths in the dataset.\n"
        f"{folders}nc: {len(annotated.annotated_classes)}\nnames:\n{names}"
    )


def _split_folders(photos: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the folder of each split; all photos are both train and val unless each split has a folder of its own."""
    tops = photos["path"].astype("object").map(lambda path: safe_path(path).parts[0])
    splits = photos["split"].astype("object").fillna("")
    folders = {split: set(tops[splits == split]) for split in sorted(set(splits))}
    by_folder = {top for tops_of_split in folders.values() for top in tops_of_split}
    if not {"train"} < set(folders) <= {"train", "val", "test"} or len(by_folder) != sum(map(len, folders.values())):
        return [("train", "images"), ("val", "images")]
    if any(len(tops_of_split) > 1 for tops_of_split in folders.values()):
        return [("train", "images"), ("val", "images")]
    named = {split: f"images/{next(iter(tops_of_split))}" for split, tops_of_split in folders.items()}
    return list({"train": named["train"], "val": named.get("val", named.get("test", "")), **named}.items())
