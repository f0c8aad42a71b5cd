"""Import ground truth masks into the store, so that they can be viewed next to the masks of runs.

`import_annotations` matches masks that someone brings (`annotations.reader.Masks`) with the images of the table. Each
ground truth lies in `truths/<8 hex>/`: `truth.json` (name, format, classes, options; no local paths),
`files/part-*.parquet` (which mask belongs to which image) and `masks/<ab>/<id>.png`, palette PNG of class indices at
the image's size, 255 = void. A mask file is read again only if its size or modification time has changed.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from seglib.annotations.matching import Matches
from seglib.annotations.reader import Masks, match_photos
from seglib.annotations.reading import MaskError
from seglib.classes import Mask
from seglib.errors import DamagedFileError, DatasetError, StoreError, UnknownName
from seglib.fileio import json_record, parquet_parts
from seglib.fileio.parallel import map_in_threads
from seglib.masks import png
from seglib.store.records import find_damaged_records
from seglib.store.store import Store

TRUTH_FILES_SCHEMA = pa.schema(
    [
        *(("path", pa.string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64()), ("image_id", pa.string())),
        *(("truth", pa.string()), ("scan", pa.int64())),
    ]
)
"""`path` is relative to the ground truth folder; `truth` is the mask id, a hash of the mask's content."""

_REMEDY = "evaluate again, which rewrites it"


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    id: str
    """First 8 hex digits of the SHA-256 of the masks' resolved path and of all that decides how they are read."""
    name: str
    format: str
    classes: tuple[str, ...]
    options: str = ""
    """What else decides how the masks are read, such as `offset=1`; empty for plain indices."""


@dataclass(frozen=True, kw_only=True)
class ImportedTruth:
    files: pd.DataFrame
    """The images that have a mask, with `truth` (mask id) and `mask` (mask path)."""
    failed: dict[str, str]
    """Mask path -> why it could not be used."""
    matches: Matches


def list_truths(store: Store) -> list[GroundTruth]:
    """All ground truths with a readable record, sorted by name."""
    truths = []
    for file in store.truth_records():
        with contextlib.suppress(DamagedFileError):
            truths.append(_read(file))
    return sorted(truths, key=lambda one: (one.name, one.id))


def find_truth(store: Store, name: str) -> GroundTruth:
    """Find a ground truth by id or name. Raises `UnknownName`."""
    truths = list_truths(store)
    by_name = {one.name: one for one in truths} | {one.id: one for one in truths}
    if name not in by_name:
        raise UnknownName("truth", name, [one.name for one in truths])
    return by_name[name]


def register_truth(store: Store, masks: Masks) -> GroundTruth:
    """Return the ground truth of these masks, writing its record if it is missing or damaged."""
    record = GroundTruth(
        id=compute_truth_id(masks.source, masks.format, masks.classes, masks.reading_options),
        name=masks.source.resolve().name,
        format=masks.format,
        classes=masks.classes,
        options=masks.reading_options,
    )
    file = store.truth_record(record.id)
    if not file.exists() or record.id in find_damaged(store):
        store.atomic.write(file, json_record.encode(asdict(record)), durable=True)
    return record


def compute_truth_id(source: Path, kind: str, classes: tuple[str, ...], options: str = "") -> str:
    kind = "voc" if kind == "index" else kind  # one kind in earlier versions, and the classes tell them apart
    text = "\n".join((str(source.resolve()), kind, *classes, *filter(None, [options])))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def import_annotations(store: Store, truth_record: GroundTruth, masks: Masks, images: pd.DataFrame) -> ImportedTruth:
    """Match images (path, label, width, height, image_id) with the masks, and import masks that are new.

    A mask that cannot be used, or that contradicts the one of an identical image, is left out with a reason. Raises
    `DatasetError` if several datasets contain the same path, or if no image has a mask.
    """
    paths = images["path"].drop_duplicates()
    if len(paths) < len(images):
        raise DatasetError("Several datasets hold photos of these paths: name one of them with `dataset`.")
    matches = match_photos(masks, list(paths))
    annotated = images[images["path"].isin(matches.masks.keys())]
    annotated = annotated.assign(mask=annotated["path"].map(dict(matches.masks)))
    joined = annotated.merge(masks.files.rename(columns={"path": "mask"}), on="mask", how="left")
    valid_rows = _valid_rows(store, truth_record).rename(columns={"path": "mask"})
    joined = joined.merge(valid_rows.drop(columns="scan"), on=["mask", "bytes", "mtime_ns", "image_id"], how="left")
    joined = joined.set_index(annotated.index)
    stored = joined["truth"].astype("object")
    new = stored.isna() | (truth_record.format == "trimap")  # whose species is the photo's label, which may change
    failed: dict[str, str] = {}
    joined["truth"] = stored
    joined.loc[new, "truth"] = _import_masks(store, truth_record, masks, joined[new], failed)
    joined = joined[joined["truth"].notna()]
    contradicting = _find_contradictions(joined)
    failed |= contradicting
    joined = joined[~joined["mask"].isin(contradicting)]
    if not (fresh := joined[joined["truth"] != stored.reindex(joined.index)]).empty:
        rows = fresh.drop(columns="path").rename(columns={"mask": "path"}).assign(scan=time.time_ns())
        table = pa.Table.from_pandas(rows[TRUTH_FILES_SCHEMA.names], TRUTH_FILES_SCHEMA, preserve_index=False)
        store.atomic.sync()
        parquet_parts.append(store.atomic, store.truth_files_folder(truth_record.id), table)
    return ImportedTruth(files=joined.drop(columns=["bytes", "mtime_ns"]), failed=failed, matches=matches)


def mask_ids_by_image(store: Store, truth_record: GroundTruth) -> pd.Series:
    """Series image_id -> id of the most recently imported mask."""
    return _newest_rows(store, truth_record.id).set_index("image_id")["truth"]


def mask_path(store: Store, truth_record: GroundTruth, mask_id: str) -> Path:
    return store.truth_masks_folder(truth_record.id) / mask_id[:2] / f"{mask_id}.png"


def read_mask(store: Store, truth_record: GroundTruth, mask_id: str) -> Mask:
    """uint8 (H, W): indices into `truth_record.classes`, 255 = void. Raises `StoreError` if missing or damaged."""
    try:
        return png.decode_verified_png(mask_path(store, truth_record, mask_id).read_bytes())
    except (OSError, ValueError):
        raise StoreError(
            f"The truth {mask_id} of {truth_record.name!r} is missing or damaged: delete {mask_id}.png, and "
            "evaluate again."
        ) from None


# --- care --------------------------------------------------------------------------------------------------------


def current_mask_ids(store: Store, truth_id: str) -> set[str]:
    """Ids of the masks currently assigned to images."""
    return set(_newest_rows(store, truth_id)["truth"])


def unused_folders(store: Store) -> list[Path]:
    """Folders of ground truths that no run was evaluated against."""
    used = {path.name.rpartition("--")[2] for path in store.evaluation_folders()}
    return [path for path in store.truth_folders() if path.name not in used]


def part_folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Yield every folder of parts with its schema and the key columns that identify duplicate rows."""
    for folder in store.truth_folders():
        yield store.truth_files_folder(folder.name), TRUTH_FILES_SCHEMA, ("path", "image_id")


def prune(store: Store, alive: Set[str]) -> None:
    """Remove rows of images that are not in `alive`, and masks that are no longer in use."""
    for folder in store.truth_folders():
        files = store.truth_files_folder(folder.name)
        old = parquet_parts.list_parts(files)
        newest = _keep_newest(parquet_parts.read_parts(files, old, TRUTH_FILES_SCHEMA))
        current = newest[newest["image_id"].isin(alive)]
        parquet_parts.append(
            store.atomic, files, pa.Table.from_pandas(current, TRUTH_FILES_SCHEMA, preserve_index=False)
        )
        for name in old:
            (files / name).unlink(missing_ok=True)
        for path in list(store.truth_masks_folder(folder.name).glob("*/*.png")):
            if path.stem not in set(current["truth"]):
                path.unlink(missing_ok=True)


def _newest_rows(store: Store, truth_id: str) -> pd.DataFrame:
    """The newest row of each image."""
    return _keep_newest(parquet_parts.read(store.truth_files_folder(truth_id), TRUTH_FILES_SCHEMA))


def _keep_newest(rows: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = rows.to_pandas()
    return frame.sort_values("scan", kind="stable").drop_duplicates("image_id", keep="last")


def _valid_rows(store: Store, truth_record: GroundTruth) -> pd.DataFrame:
    """The newest row of each file and image whose mask exists in the store."""
    table = parquet_parts.keep_newest(
        parquet_parts.read(store.truth_files_folder(truth_record.id), TRUTH_FILES_SCHEMA), ["path", "image_id"]
    )
    frame: pd.DataFrame = table.to_pandas()
    exists = np.array([mask_path(store, truth_record, one).exists() for one in frame["truth"]], bool)
    return frame[exists]


def _import_masks(
    store: Store, truth_record: GroundTruth, masks: Masks, images: pd.DataFrame, failed: dict[str, str]
) -> list[str | None]:
    """Save the masks of these images; return each one's id, or None for those added to `failed`."""

    def save(row: tuple[str, object, int, int]) -> str | MaskError:
        name, label, width, height = row
        try:
            mask = masks.read(name, (width, height), label if isinstance(label, str) else None)
        except MaskError as error:
            return error
        return _save_mask(store, truth_record, mask)

    rows = images[["mask", "label", "width", "height"]].astype("object").itertuples(index=False, name=None)
    ids: list[str | None] = []
    for name, result in zip(images["mask"], map_in_threads(save, list(rows)), strict=True):
        if isinstance(result, MaskError):
            failed[name] = str(result)
        ids.append(None if isinstance(result, MaskError) else result)
    return ids


def _save_mask(store: Store, truth_record: GroundTruth, mask: Mask) -> str:
    """Write the mask unless it exists; return its id, the first 32 hex digits of the SHA-256 of shape and values."""
    mask_id = hashlib.sha256(f"{mask.shape}".encode() + mask.tobytes()).hexdigest()[:32]
    if not (path := mask_path(store, truth_record, mask_id)).exists():
        store.atomic.write(path, png.encode_index_png(mask))
    return mask_id


def _find_contradictions(joined: pd.DataFrame) -> dict[str, str]:
    """Mask path -> reason, of identical images whose masks differ; counts are stored per image_id."""
    mask_counts = joined.groupby("image_id", sort=False)["truth"].nunique()
    contradicting: dict[str, str] = {}
    for image_id in mask_counts.index[mask_counts > 1]:
        rows = joined[joined["image_id"] == image_id]
        one, other = rows.drop_duplicates("truth")["path"].iloc[:2]
        reason = f"{one!r} and {other!r} are the same photo, and their masks differ: leave one out by `names`."
        contradicting |= dict.fromkeys(rows["mask"], reason)
    return contradicting


def find_damaged(store: Store) -> dict[str, str]:
    """Map id -> error message for each ground truth whose record cannot be read."""
    return find_damaged_records(store.truth_records(), _read)


def _read(file: Path) -> GroundTruth:
    record = json_record.read(file, _REMEDY)
    try:
        return GroundTruth(**{**record, "classes": tuple(record["classes"])})
    except (TypeError, KeyError):
        raise json_record.damaged_error(file, _REMEDY) from None
