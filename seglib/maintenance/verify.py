"""Find damaged files in a store, and remove damaged parts and packs so that a later command recomputes them.

`find_damaged_files` yields one `DamagedFile` per file, or per picture in a pack. It reads every record, part, mask and
thumbnail, but no original images.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from seglib.errors import StoreError
from seglib.fileio import parquet_parts
from seglib.maintenance import compact, cost_record
from seglib.masks import png
from seglib.masks.statistics import count_pixels, pixels_column
from seglib.store import content, ground_truth, pair_counts, scans, tags
from seglib.store.embeddings import brought, vectors
from seglib.store.own_columns import log as own_columns
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.pictures import pack_file
from seglib.store.pictures.picture_folder import PictureFolder
from seglib.store.records import Run
from seglib.store.saved_views import saved_view
from seglib.store.schemas import FILES_SCHEMA, keep_newest_files, stats_schema
from seglib.store.store import Store

PACK, MASK, THUMBNAIL = "pack", "mask", "thumbnail"
_VERIFY = "run again with `verify`, which recreates it."
_THUMBNAIL_ENDS = (b"\xff\xd8", b"\xff\xd9")


@dataclass(frozen=True, kw_only=True)
class DamagedFile:
    file: str
    """Path relative to the store."""
    kind: str
    """`record`, `part`, `pack`, `mask` or `thumbnail`."""
    sentence: str
    """What is wrong and how to fix it."""
    run: str = ""
    image_id: str = ""


def find_damaged_files(store: Store) -> Iterator[DamagedFile]:
    """Yield damaged records, parts, masks (including masks that disagree with their row) and thumbnails, in this order,
    and before the pictures of a folder its damaged packs, which stand for the pictures in them.

    Masks and thumbnails of images that no longer have a file are not checked.
    """
    for record_path, reasons in (
        (store.dataset_record, store.damaged_datasets()),
        (store.scan_record, scans.find_damaged(store)),
        (store.label_map_record, content.find_damaged(store)),
        (store.run_record, store.damaged_runs()),
        (store.cost_record, cost_record.find_damaged(store)),
        (store.truth_record, ground_truth.find_damaged(store)),
        (store.embedding_record, brought.find_damaged(store)),
        (store.view_record, saved_view.find_damaged(store)),
    ):
        for name, why in reasons.items():
            yield DamagedFile(file=_relative_path(store, record_path(name)), kind="record", sentence=why)
    for folder, schema, _ in compact.part_folders(store):
        for name, error in parquet_parts.find_damaged(folder, schema, _remedy(store, folder, schema)).items():
            yield DamagedFile(file=_relative_path(store, folder / name), kind="part", sentence=str(error))
    alive, thumbnail_ids = _live_image_ids(store), set[str]()
    for run in store.runs():
        stats = parquet_parts.read_intact(store.stats_folder(run), stats_schema(run.classes))
        if alive is not None:
            stats = stats.filter(pc.is_in(stats["image_id"], value_set=pa.array(sorted(alive), pa.string())))
        thumbnail_ids |= set(stats["image_id"].to_pylist())
        masks = store.masks(run.run)
        yield from _damaged_packs(store, masks)
        for image_id in _outside_of(masks.damaged_packs(), _damaged_masks(store, run, stats)):
            file, name = _describe_place(store, masks, image_id)
            sentence = f"{name} is missing, damaged, or not what its row says: {_VERIFY}"
            yield DamagedFile(file=file, kind=MASK, sentence=sentence, run=run.run, image_id=image_id)
    yield from _damaged_truths(store)
    yield from _damaged_doubts(store)
    thumbnails = store.thumbnails()
    yield from _damaged_packs(store, thumbnails)
    damaged = (image_id for image_id in thumbnail_ids if not is_thumbnail_intact(store, image_id))
    for image_id in _outside_of(thumbnails.damaged_packs(), damaged):
        file, name = _describe_place(store, thumbnails, image_id)
        sentence = f"{name} is missing or damaged: {_VERIFY}"
        yield DamagedFile(file=file, kind=THUMBNAIL, sentence=sentence, image_id=image_id)


def _damaged_packs(store: Store, pictures: PictureFolder) -> Iterator[DamagedFile]:
    for path in pictures.damaged_packs():
        file = _relative_path(store, path)
        sentence = f"{file} is damaged, so that none of its pictures can be read: {_VERIFY}"
        yield DamagedFile(file=file, kind=PACK, sentence=sentence)


def _outside_of(packs: Sequence[Path], image_ids: Iterable[str]) -> list[str]:
    """The images that cannot have been in these packs, sorted."""
    return sorted(one for one in image_ids if not any(pack_file.covers(path.name, one) for path in packs))


def _describe_place(store: Store, pictures: PictureFolder, image_id: str) -> tuple[str, str]:
    """(file that holds a picture, or should, and the picture's own name), relative to the store."""
    path = pictures.path(image_id)
    found = None if path.exists() else pictures.find_packed(image_id)
    file = _relative_path(store, path if found is None else found[0].path)
    return file, file if found is None else f"{path.name} in {file}"


def _remedy(store: Store, folder: Path, schema: pa.Schema) -> str:
    """How the user can repair a damaged part of this folder."""
    if folder == store.tags_folder():
        return tags.REMEDY
    if folder == store.photo_measures_folder():
        return photo_measures.REMEDY
    if folder.is_relative_to(store.columns_folder()):
        return own_columns.REMEDY
    if schema is vectors.SCHEMA:
        return vectors.REMEDY if folder.parent.parent == store.runs_folder() else brought.REMEDY
    return pair_counts.remedy(folder)


def damaged_masks(store: Store, run: Run) -> set[str]:
    """Ids of images whose mask is missing, damaged, or disagrees with the size or pixel counts in its row."""
    return _damaged_masks(store, run, parquet_parts.read(store.stats_folder(run), stats_schema(run.classes)))


def remove_damaged_parts(store: Store, folders: Iterable[tuple[Path, pa.Schema]]) -> list[str]:
    """Remove damaged parts, so that their rows are recomputed; returns one message per removed part."""
    messages = []
    for folder, schema in folders:
        for name in parquet_parts.find_damaged(folder, schema):
            (folder / name).unlink(missing_ok=True)
            messages.append(
                f"{_relative_path(store, folder / name)} was damaged and is removed: its rows are recomputed."
            )
    return messages


def remove_damaged_counts(store: Store) -> list[str]:
    """Remove damaged counts and ground truth masks, which the next comparison or evaluation restores.

    Returns one message per removed file. Damaged tag parts are kept, because tags cannot be recomputed.
    """
    for evaluation in store.evaluation_folders():  # images with cells count as evaluated, so remove the cells first
        if parquet_parts.find_damaged(pair_counts.boundary_folder(evaluation), pair_counts.BOUNDARY_SCHEMA):
            for name in parquet_parts.list_parts(evaluation):
                (evaluation / name).unlink(missing_ok=True)
    folders = [
        (folder, schema) for folder, schema, _ in (*pair_counts.part_folders(store), *ground_truth.part_folders(store))
    ]
    messages = remove_damaged_parts(store, folders)
    for truth in _damaged_truths(store):
        (store.path / truth.file).unlink(missing_ok=True)
        messages.append(f"{truth.file} was damaged and is removed: the next evaluation reads it again.")
    for doubts in _damaged_doubts(store):
        (store.path / doubts.file).unlink(missing_ok=True)
        messages.append(f"{doubts.file} was damaged and is removed: the next `mistakes` makes it again.")
    return messages


def remove_damaged_packs(store: Store, run: Run) -> list[str]:
    """Remove the packs of a run's masks and of thumbnails none of whose pictures can be read; one message for each."""
    messages = []
    for path in (*store.masks(run.run).damaged_packs(), *store.thumbnails().damaged_packs()):
        path.unlink(missing_ok=True)
        messages.append(f"{_relative_path(store, path)} was damaged and is removed: its pictures are made again.")
    return messages


def is_thumbnail_intact(store: Store, image_id: str) -> bool:
    """Whether there is a complete JPEG: it decodes and has both end markers, since JPEG has no checksum."""
    try:
        data = store.thumbnails().read(image_id)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError):
        return False
    return (data[:2], data[-2:]) == _THUMBNAIL_ENDS


def _damaged_masks(store: Store, run: Run, stats: pa.Table) -> set[str]:
    stats = parquet_parts.keep_newest(stats, ["image_id"]).to_pandas()
    pixels = stats[[pixels_column(name) for name in run.classes]].to_numpy()
    sizes = stats[["grid_height", "grid_width"]].to_numpy()
    return {
        image_id
        for image_id, row, size in zip(stats["image_id"], pixels, sizes, strict=True)
        if not _is_mask_intact(store, run, image_id, row, tuple(size))
    }


def _is_mask_intact(store: Store, run: Run, image_id: str, pixels: NDArray[np.int32], size_hw: tuple[int, ...]) -> bool:
    try:
        mask = store.mask(run.run, image_id)
        return mask.shape == size_hw and bool((count_pixels(mask, len(run.classes)) == pixels).all())
    except (StoreError, ValueError):
        return False


def _damaged_truths(store: Store) -> Iterator[DamagedFile]:
    for truth_record in ground_truth.list_truths(store):
        folder = store.truth_files_folder(truth_record.id)
        rows = parquet_parts.read_intact(folder, ground_truth.TRUTH_FILES_SCHEMA)
        for mask_id in sorted(set(rows["truth"].to_pylist())):
            try:
                ground_truth.read_mask(store, truth_record, mask_id)
            except StoreError as error:
                file = _relative_path(store, ground_truth.mask_path(store, truth_record, mask_id))
                yield DamagedFile(file=file, kind=MASK, sentence=str(error))


def _damaged_doubts(store: Store) -> Iterator[DamagedFile]:
    """The damaged maps of doubtful pixels; a missing one is made again without being asked for."""
    for evaluation in store.evaluation_folders():
        for path in sorted(pair_counts.doubts_folder(evaluation).glob("*/*.png")):
            try:
                png.decode_verified_png(path.read_bytes())
            except (OSError, ValueError):
                file = _relative_path(store, path)
                sentence = f"{file} is damaged: delete it, and run `mistakes` again, which makes it."
                yield DamagedFile(file=file, kind=MASK, sentence=sentence)


def _live_image_ids(store: Store) -> set[str] | None:
    """Ids of images that have a file; None if a damaged part makes them unknown."""
    ids: set[str] = set()
    for dataset in store.datasets():
        folder = store.files_folder(dataset)
        if parquet_parts.find_damaged(folder, FILES_SCHEMA):
            return None
        files = keep_newest_files(parquet_parts.read(folder, FILES_SCHEMA, ["path", "scan", "image_id", "reason"]))
        ids.update(files.filter(pc.is_null(files["reason"]))["image_id"].to_pylist())
    return ids


def _relative_path(store: Store, path: Path) -> str:
    return path.relative_to(store.path).as_posix()
