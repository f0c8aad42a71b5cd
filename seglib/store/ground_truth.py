"""Import ground truth masks into the store, so that they can be viewed next to the masks of runs.

`import_annotations` matches a folder of masks with the images of the table. Each ground truth lies in `truths/<8
hex>/`: `truth.json` (name, format, classes; no local paths), `files/part-*.parquet` (which mask belongs to which image)
and `masks/<ab>/<id>.png`, palette PNG of class indices at the image's size, 255 = void. A mask file is read again only
if its size or modification time has changed.
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

from seglib.classes import VOC_CLASSES, Mask
from seglib.errors import DamagedFileError, DatasetError, StoreError, UnknownName
from seglib.fileio import json_record, parquet_parts
from seglib.masks import annotations, png
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
    """First 8 hex digits of the SHA-256 of resolved folder, format and classes."""
    name: str
    format: str
    classes: tuple[str, ...]


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


def register_truth(store: Store, folder: Path, mask_format: str, classes: tuple[str, ...] | None = None) -> GroundTruth:
    """Return the ground truth of this folder and format, writing its record if it is missing or damaged.

    `classes` names the mask indices, by default the 21 VOC classes; trimaps always use `annotations.TRIMAP_CLASSES`.
    Raises `DatasetError` if the folder does not exist.
    """
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds the masks.")
    named = annotations.TRIMAP_CLASSES if mask_format == "trimap" else classes or VOC_CLASSES
    record = GroundTruth(
        id=compute_truth_id(folder, mask_format, named), name=folder.resolve().name, format=mask_format, classes=named
    )
    file = store.truth_record(record.id)
    if not file.exists() or record.id in find_damaged(store):
        store.atomic.write(file, json_record.encode(asdict(record)), durable=True)
    return record


def compute_truth_id(folder: Path, kind: str, classes: tuple[str, ...]) -> str:
    text = "\n".join((str(folder.resolve()), kind, *classes))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def import_annotations(store: Store, truth_record: GroundTruth, folder: Path, images: pd.DataFrame) -> pd.DataFrame:
    """Match images (path, label, width, height, image_id) with the masks in a folder and import new masks.

    Returns the images that have a mask, with `truth` (mask id) and `read_mask` (mask path). Raises `DatasetError` if
    several datasets contain the same path, a mask's size differs from its image's, or identical images have different
    masks.
    """
    masks = annotations.scan_masks(folder)
    paths = images["path"].drop_duplicates()
    if len(paths) < len(images):
        raise DatasetError("Several datasets hold photos of these paths: name one of them with `dataset`.")
    pairs = annotations.match_masks(paths, masks["path"])
    annotated = images[images["path"].isin(pairs.keys())].assign(mask=lambda frame: frame["path"].map(pairs))
    joined = annotated.merge(masks.rename(columns={"path": "mask"}), on="mask", how="left")
    valid_rows = _valid_rows(store, truth_record).rename(columns={"path": "mask"})
    joined = joined.merge(valid_rows.drop(columns="scan"), on=["mask", "bytes", "mtime_ns", "image_id"], how="left")
    new = joined["truth"].isna()
    rows = joined.loc[new, ["mask", "label", "width", "height"]].astype("object").itertuples(index=False, name=None)
    joined.loc[new, "truth"] = [
        _save_mask(store, truth_record, _read_checked(truth_record, folder, name, label, (width, height)))
        for name, label, width, height in rows
    ]
    _check_duplicates(joined)
    if new.any():
        fresh = joined[new].drop(columns="path").rename(columns={"mask": "path"}).assign(scan=time.time_ns())
        table = pa.Table.from_pandas(fresh[TRUTH_FILES_SCHEMA.names], TRUTH_FILES_SCHEMA, preserve_index=False)
        store.atomic.sync()
        parquet_parts.append(store.atomic, store.truth_files_folder(truth_record.id), table)
    return joined.drop(columns=["bytes", "mtime_ns"]).set_index(annotated.index)


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


def _read_checked(
    truth_record: GroundTruth, folder: Path, name: str, label: str | None, size_wh: tuple[int, int]
) -> Mask:
    raw = annotations.read_mask(folder, name)
    if raw.shape != size_wh[::-1]:
        raise DatasetError(
            f"The mask {name!r} is {raw.shape[1]} x {raw.shape[0]} pixels and its photo {size_wh[0]} x {size_wh[1]}: "
            "a mask must have its photo's size."
        )
    if truth_record.format == "trimap":
        return annotations.convert_trimap(raw, name, label if isinstance(label, str) else None)
    return annotations.check_index_mask(raw, name, len(truth_record.classes))


def _save_mask(store: Store, truth_record: GroundTruth, mask: Mask) -> str:
    """Write the mask unless it exists; return its id, the first 32 hex digits of the SHA-256 of shape and values."""
    mask_id = hashlib.sha256(f"{mask.shape}".encode() + mask.tobytes()).hexdigest()[:32]
    if not (path := mask_path(store, truth_record, mask_id)).exists():
        store.atomic.write(path, png.encode_index_png(mask))
    return mask_id


def _check_duplicates(joined: pd.DataFrame) -> None:
    """Raise `DatasetError` if identical images have different masks, because counts are stored per image_id."""
    mask_counts = joined.groupby("image_id", sort=False)["truth"].nunique()
    for image_id in mask_counts.index[mask_counts > 1][:1]:
        rows = joined[joined["image_id"] == image_id]
        one, other = rows.drop_duplicates("truth")["path"].iloc[:2]
        raise DatasetError(
            f"{one!r} and {other!r} are the same photo, and their masks differ: leave one out by `names`."
        )


def find_damaged(store: Store) -> dict[str, str]:
    """Map id -> error message for each ground truth whose record cannot be read."""
    return find_damaged_records(store.truth_records(), _read)


def _read(file: Path) -> GroundTruth:
    record = json_record.read(file, _REMEDY)
    try:
        return GroundTruth(**{**record, "classes": tuple(record["classes"])})
    except (TypeError, KeyError):
        raise json_record.damaged_error(file, _REMEDY) from None
