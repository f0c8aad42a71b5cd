"""Import ground truth masks into the store, so that they can be viewed next to the masks of runs.

`take_in` matches a folder of masks with the images of the table. Each ground truth lies in `truths/<8 hex>/`:
`truth.json` (name, format, classes; no local paths), `files/part-*.parquet` (which mask belongs to which image) and
`masks/<ab>/<id>.png`, palette PNG of class indices at the image's size, 255 = void. A mask file is read again only if
its size or modification time has changed.
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

from seglib.classes import VOC_CLASSES
from seglib.errors import Damaged, DatasetError, StoreError, UnknownName
from seglib.fileio import json_record, parquet_parts
from seglib.masks import annotations, png
from seglib.masks.png import Mask
from seglib.store.records import damaged_ones
from seglib.store.store import Store

FILES = pa.schema(
    [
        *(("path", pa.string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64()), ("image_id", pa.string())),
        *(("truth", pa.string()), ("scan", pa.int64())),
    ]
)
"""`path` is relative to the ground truth folder; `truth` is the mask id, a hash of the mask's content."""


_REMEDY = "evaluate again, which rewrites it"


@dataclass(frozen=True, kw_only=True)
class Truth:
    id: str
    """First 8 hex digits of the SHA-256 of resolved folder, format and classes."""
    name: str
    format: str
    classes: tuple[str, ...]


def all_truths(store: Store) -> list[Truth]:
    """All ground truths with a readable record, sorted by name."""
    found = []
    for file in store.path.glob("truths/*/truth.json"):
        with contextlib.suppress(Damaged):
            found.append(_read(file))
    return sorted(found, key=lambda one: (one.name, one.id))


def find(store: Store, name: str) -> Truth:
    """Find a ground truth by id or name. Raises `UnknownName`."""
    known = all_truths(store)
    by_name = {one.name: one for one in known} | {one.id: one for one in known}
    if name not in by_name:
        raise UnknownName("truth", name, [one.name for one in known])
    return by_name[name]


def register(store: Store, folder: Path, kind: str, classes: tuple[str, ...] | None = None) -> Truth:
    """Return the ground truth of this folder and format, writing its record if it is missing or damaged.

    `classes` names the mask indices, by default the 21 VOC classes; trimaps always use `annotations.TRIMAP_CLASSES`.
    Raises `DatasetError` if the folder does not exist.
    """
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds the masks with --truth.")
    named = annotations.TRIMAP_CLASSES if kind == "trimap" else classes or VOC_CLASSES
    found = Truth(id=id_of(folder, kind, named), name=folder.resolve().name, format=kind, classes=named)
    file = _folder(store, found) / "truth.json"
    if not file.exists() or found.id in damaged(store):
        store.scratch.write(file, json_record.encoded(asdict(found)), durable=True)
    return found


def id_of(folder: Path, kind: str, classes: tuple[str, ...]) -> str:
    text = "\n".join((str(folder.resolve()), kind, *classes))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def take_in(store: Store, about: Truth, folder: Path, photos: pd.DataFrame) -> pd.DataFrame:
    """Match images (path, label, width, height, image_id) with the masks in a folder and import new masks.

    Returns the images that have a mask, with `truth` (mask id) and `mask` (mask path). Raises `DatasetError` if several
    datasets contain the same path, a mask's size differs from its image's, or identical images have different masks.
    """
    masks = annotations.masks_in(folder)
    paths = photos["path"].drop_duplicates()
    if len(paths) < len(photos):
        raise DatasetError("Several data sets hold photos of these paths: name one of them with --dataset.")
    pairs = annotations.matched(paths, masks["path"])
    found = photos[photos["path"].isin(pairs.keys())].assign(mask=lambda frame: frame["path"].map(pairs))
    joined = found.merge(masks.rename(columns={"path": "mask"}), on="mask", how="left")
    known = _index(store, about).rename(columns={"path": "mask"})
    joined = joined.merge(known.drop(columns="scan"), on=["mask", "bytes", "mtime_ns", "image_id"], how="left")
    new = joined["truth"].isna()
    rows = joined.loc[new, ["mask", "label", "width", "height"]].astype("object").itertuples(index=False, name=None)
    joined.loc[new, "truth"] = [
        _keep(store, about, _checked(about, folder, name, label, (width, height)))
        for name, label, width, height in rows
    ]
    _check_alike(joined)
    if new.any():
        fresh = joined[new].drop(columns="path").rename(columns={"mask": "path"}).assign(scan=time.time_ns())
        table = pa.Table.from_pandas(fresh[FILES.names], FILES, preserve_index=False)
        store.scratch.settle()
        parquet_parts.append(store.scratch, files_folder(store, about), table)
    return joined.drop(columns=["bytes", "mtime_ns"]).set_index(found.index)


def masks_of(store: Store, about: Truth) -> pd.Series:
    """Series image_id -> id of the most recently imported mask."""
    return _newest(store, about.id).set_index("image_id")["truth"]


def files_folder(store: Store, about: Truth) -> Path:
    return _folder(store, about) / "files"


def mask_path(store: Store, about: Truth, mask_id: str) -> Path:
    return _folder(store, about) / "masks" / mask_id[:2] / f"{mask_id}.png"


def mask(store: Store, about: Truth, mask_id: str) -> Mask:
    """uint8 (H, W): indices into `about.classes`, 255 = void. Raises `StoreError` if it is missing or damaged."""
    try:
        return png.read_own_png(mask_path(store, about, mask_id).read_bytes())
    except (OSError, ValueError):
        raise StoreError(
            f"The truth {mask_id} of {about.name!r} is missing or damaged: delete {mask_id}.png, and evaluate again."
        ) from None


# --- care --------------------------------------------------------------------------------------------------------


def current(store: Store, truth_id: str) -> set[str]:
    """Ids of the masks currently assigned to images."""
    return set(_newest(store, truth_id)["truth"])


def unused(store: Store) -> list[Path]:
    """Folders of ground truths that no run was evaluated against."""
    used = {path.name.rpartition("--")[2] for path in store.path.glob("evaluate/*")}
    return [path for path in store.path.glob("truths/*") if path.name not in used]


def folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Yield every folder of parts with its schema and the key columns that identify duplicate rows."""
    for folder in sorted(store.path.glob("truths/*/files")):
        yield folder, FILES, ("path", "image_id")


def prune(store: Store, alive: Set[str]) -> None:
    """Remove rows of images that are not in `alive`, and masks that are no longer in use."""
    for folder in store.path.glob("truths/*"):
        old = parquet_parts.names(folder / "files")
        newest = _newest_of(parquet_parts.read_these(folder / "files", old, FILES))
        kept = newest[newest["image_id"].isin(alive)]
        parquet_parts.append(store.scratch, folder / "files", pa.Table.from_pandas(kept, FILES, preserve_index=False))
        for name in old:
            (folder / "files" / name).unlink(missing_ok=True)
        for path in list(folder.glob("masks/*/*.png")):
            if path.stem not in set(kept["truth"]):
                path.unlink(missing_ok=True)


def _newest(store: Store, truth_id: str) -> pd.DataFrame:
    """The newest row of each image."""
    return _newest_of(parquet_parts.read(store.path / "truths" / truth_id / "files", FILES))


def _newest_of(rows: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = rows.to_pandas()
    return frame.sort_values("scan", kind="stable").drop_duplicates("image_id", keep="last")


def _index(store: Store, about: Truth) -> pd.DataFrame:
    """The newest row of each file and image whose mask exists in the store."""
    table = parquet_parts.newest(parquet_parts.read(files_folder(store, about), FILES), ["path", "image_id"])
    frame: pd.DataFrame = table.to_pandas()
    there = np.array([mask_path(store, about, one).exists() for one in frame["truth"]], bool)
    return frame[there]


def _checked(about: Truth, folder: Path, name: str, label: str | None, size_wh: tuple[int, int]) -> Mask:
    raw = annotations.read(folder, name)
    if raw.shape != size_wh[::-1]:
        raise DatasetError(
            f"The mask {name!r} is {raw.shape[1]} x {raw.shape[0]} pixels and its photo {size_wh[0]} x {size_wh[1]}: "
            "a truth must have its photo's size."
        )
    if about.format == "trimap":
        return annotations.trimap_mask(raw, name, label if isinstance(label, str) else None)
    return annotations.index_mask(raw, name, len(about.classes))


def _keep(store: Store, about: Truth, mask: Mask) -> str:
    """Write the mask unless it exists; return its id, the first 32 hex digits of the SHA-256 of shape and values."""
    mask_id = hashlib.sha256(f"{mask.shape}".encode() + mask.tobytes()).hexdigest()[:32]
    if not (path := mask_path(store, about, mask_id)).exists():
        store.scratch.write(path, png.index_png(mask))
    return mask_id


def _check_alike(joined: pd.DataFrame) -> None:
    """Raise `DatasetError` if identical images have different masks, because counts are stored per image_id."""
    several = joined.groupby("image_id", sort=False)["truth"].nunique()
    for image_id in several.index[several > 1][:1]:
        rows = joined[joined["image_id"] == image_id]
        one, other = rows.drop_duplicates("truth")["path"].iloc[:2]
        raise DatasetError(
            f"{one!r} and {other!r} are the same photo, and their masks differ: leave one out by --list."
        )


def _folder(store: Store, about: Truth) -> Path:
    return store.path / "truths" / about.id


def damaged(store: Store) -> dict[str, str]:
    """Map id -> error message for each ground truth whose record cannot be read."""
    return damaged_ones(store.path.glob("truths/*/truth.json"), _read)


def _read(file: Path) -> Truth:
    about = json_record.read(file, _REMEDY)
    try:
        return Truth(**{**about, "classes": tuple(about["classes"])})
    except (TypeError, KeyError):
        raise json_record.damaged(file, _REMEDY) from None
