"""What the masks below the offered folders hold, before anything is computed: which of them are offered, how each is
read, how many photos it matches, and a few previews.

Everything that opens files runs in a background thread; until it is done, the queries return None.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.formatting import percent
from dashboard.offers.mask_sources import find_mask_sources, is_mask_name, walk
from dashboard.offers.photo_folders import Folder
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import HASHES, RunSource
from dashboard.server.rendering import preview
from dashboard.workers.background import BackgroundCache
from seglib.annotations.matching import Matches, match_masks
from seglib.annotations.options import MaskOptions
from seglib.annotations.raw_mask import RawMask
from seglib.annotations.reader import LABELMAP, Masks, match_photos, open_masks, read_raw
from seglib.annotations.reading import MaskError
from seglib.classes import VOC_CLASSES, VOID, Mask
from seglib.errors import DatasetError, SegError
from seglib.query.repeats import first_datasets
from seglib.store.ground_truth import GroundTruth
from seglib.store.store import Store

WAIT_SECONDS = 0.4
"""How long a page waits for the background thread before it is drawn without the result."""

PREVIEWS = 3

_OFFER_SECONDS = 20.0  # the folders are looked through again after this time
_MAX_LISTED = 50_000  # files of a folder that are listed to decide whether it is offered
_PHOTO_SAMPLE = 5  # files opened to tell photos from masks
_PHOTO_COLOURS, _PHOTO_GREYS = 1000, 100  # more colours, or values, than a mask has; see also `_looks_like_photo`
_FLAT_SHARE = 0.5  # of a mask's pixels, at least this share holds one of its four commonest values
_MAX_FOLDERS_WATCHED = 1000
_SAMPLE = 64  # as in `annotations.reader`: what settles the format is one mask in so many
_READ_FOR_PREVIEWS = 12


@dataclass(frozen=True)
class Offer:
    """The folders and files of masks that a form offers."""

    sources: tuple[Folder, ...]
    left_out: tuple[tuple[str, str], ...]
    """(title, why it is not offered)."""
    surveyed_at: float


@dataclass(frozen=True)
class MaskPreview:
    photo: str
    jpeg: bytes
    classes: tuple[tuple[str, float], ...]
    """(class, share of the mask), the largest first, without background and void."""

    @property
    def alt(self) -> str:
        parts = [f"{name} {percent(share)}" for name, share in self.classes]
        return f"{self.photo} under its mask: {', '.join(parts) or 'background only'}"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """How masks are read with some options, or why they are not."""

    watched: tuple[tuple[Path, tuple[int, int] | None], ...]
    """Files and folders that it rests on, as they were."""
    refusal: str = ""
    """Why these masks cannot be used so; the library's sentence. All else is empty then."""
    photos: int = 0
    matched: int = 0
    description: str = ""
    """`read as VOC indices: background, cat; 1.2 % ignored`."""
    rules: str = ""
    """How the names matched: `440 by path, 5 by file name`."""
    unused: int = 0
    """Masks that fit no photo."""
    classes: tuple[str, ...] = ()
    previews: tuple[MaskPreview, ...] = ()
    read: int = 0
    """Masks read for the previews."""
    failed: tuple[str, ...] = ()
    """Why some of them would be left out."""

    def is_fresh(self) -> bool:
        return all(_stamp(path) == stamp for path, stamp in self.watched)


_offers: BackgroundCache[Offer] = BackgroundCache(max_entries=8)
_inspections: BackgroundCache[Inspection] = BackgroundCache(max_entries=64)


def offered(roots: tuple[Path, ...], source: RunSource, runs: Sequence[str]) -> Offer | None:
    """Return the masks that fit photos of these runs; None while the folders are looked through."""
    source = source.without_tags()
    photos = _photos(source, tuple(runs))
    return _offers.get(
        (roots, source, tuple(runs)),
        lambda: _survey(find_mask_sources(roots), photos, source.store()),
        lambda offer: time.monotonic() - offer.surveyed_at < _OFFER_SECONDS,
        wait_seconds=WAIT_SECONDS,
        serve_stale=True,
    )


def inspected(
    masks: Path, source: RunSource, runs: Sequence[str], options: MaskOptions, palette: str
) -> Inspection | None:
    """Return how these masks are read and fit the photos of these runs; None while they are being opened."""
    source = source.without_tags()
    photos = _photos(source, tuple(runs))
    return _inspections.get(
        (masks, source, tuple(runs), options, palette),
        lambda: _inspect(masks, photos, source.store(), options, palette),
        Inspection.is_fresh,
        wait_seconds=WAIT_SECONDS,
    )


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=HASHES)
def _photos(source: RunSource, runs: tuple[str, ...]) -> pd.DataFrame:
    """Return the photos that all of these runs have computed; must not be modified."""
    store = source.store()
    table = photo_queries.table(replace(source, run=runs[0]))
    for run in runs[1:]:
        table = table[table["image_id"].isin(store.computed_ids(store.run(run)))]
    return table[["dataset", "path", "label", "width", "height", "image_id"]]


def truth_options(truth: GroundTruth) -> MaskOptions | None:
    """Return the options with which the masks of a ground truth were read; None if its record does not say."""
    parts = dict(part.partition("=")[::2] for part in truth.options.split(";"))
    is_index = truth.format == "index" or (truth.format == "voc" and truth.classes != VOC_CLASSES)
    try:
        return MaskOptions(
            format="index" if is_index else truth.format,  # "voc" for both in earlier versions
            classes=truth.classes if is_index or truth.format == "binary" else None,
            ignore=tuple(int(value) for value in filter(None, parts.get("ignore", "").split(","))),
            offset=int(parts.get("offset", 0)),
        )
    except (ValueError, SegError):
        return None


# --- which masks are offered -------------------------------------------------------------------------------------


def _survey(sources: Sequence[Folder], photos: pd.DataFrame, store: Store) -> Offer:
    paths = list(photos["path"].drop_duplicates())
    roots = [dataset.root for dataset in store.datasets() if isinstance(dataset.root, Path)]
    left_out: dict[str, str] = {}
    matched: dict[Folder, int | None] = {}
    for source in sources:
        try:
            matched[source] = _count_matched(source.path, paths, roots)
        except DatasetError as error:
            left_out[source.title] = str(error)
    chosen = [one for one in matched if not _is_covered(one, matched)]
    return Offer(tuple(chosen), tuple(left_out.items()), time.monotonic())


def _count_matched(source: Path, photos: Sequence[str], roots: Sequence[Path]) -> int | None:
    """Return the number of photos with a mask here, 0 if names are ambiguous; None if only opening the masks can tell.

    Raises `DatasetError` if these are no masks, or fit none of the photos.
    """
    if not source.is_dir():
        return None
    names, is_complete = _list_masks(source)
    sample = names[:: max(1, len(names) // _PHOTO_SAMPLE)][:_PHOTO_SAMPLE]
    try:
        matches = match_masks(photos, names).masks
    except DatasetError:  # ambiguous names, which `suffix` may settle
        matches = None
    if matches is not None and not matches and is_complete:
        raise DatasetError("no file is named like one of these photos")
    if _are_photos(source, sample) or (matches and _are_same_files(source, matches, roots)):
        raise DatasetError("these are photos")
    return len(matches or ()) if is_complete else None


def _list_masks(folder: Path) -> tuple[list[str], bool]:
    """Return the paths of the masks below the folder, else of its text files, and whether these are all of them."""
    masks: list[str] = []
    labels: list[str] = []
    listed = 0
    for path, files in walk(folder):
        below = path.relative_to(folder)
        masks += [(below / name).as_posix() for name in files if is_mask_name(name)]
        labels += [(below / name).as_posix() for name in files if name.endswith(".txt")]
        listed += len(files)
        if listed > _MAX_LISTED:
            break
    return (masks or labels)[:_MAX_LISTED], listed <= _MAX_LISTED


def _are_photos(folder: Path, names: Sequence[str]) -> bool:
    found = []
    for name in names:
        try:
            found.append(_looks_like_photo(read_raw(folder, name)))
        except MaskError:
            continue
    return 2 * sum(found) > len(found)


def _looks_like_photo(raw: RawMask) -> bool:
    """Return whether the file has more colours or values than a mask, and hardly any flat area."""
    values, counts = np.unique(raw.packed if raw.rgb is not None else np.asarray(raw.values), return_counts=True)
    if len(values) <= (_PHOTO_COLOURS if raw.rgb is not None or raw.palette is not None else _PHOTO_GREYS):
        return False
    return bool(np.sort(counts)[-4:].sum() < _FLAT_SHARE * counts.sum())


def _are_same_files(folder: Path, matches: Mapping[str, str], roots: Sequence[Path]) -> bool:
    """Return whether the files are the photos that they match."""
    pairs = list(matches.items())
    pairs = pairs[:: max(1, len(pairs) // _PHOTO_SAMPLE)][:_PHOTO_SAMPLE]
    same = [any(_is_same_file(folder / mask, root / photo) for root in roots) for photo, mask in pairs]
    return 2 * sum(same) > len(same)


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_covered(source: Folder, matched: dict[Folder, int | None]) -> bool:
    """Return whether a single folder below this one holds as many masks that fit, or is too large to tell as well."""
    number = matched[source]
    below = [(other, found) for other, found in matched.items() if source.path in other.path.parents]
    if number is None:
        return any(found is None and other.path.is_dir() for other, found in below)
    return any(found is not None and found >= number for _, found in below)


# --- how masks are read ------------------------------------------------------------------------------------------


def _inspect(source: Path, photos: pd.DataFrame, store: Store, options: MaskOptions, palette: str) -> Inspection:
    watched = _watch_folders(source)
    photos = photos[first_datasets(photos)]
    try:
        if photos["path"].duplicated().any():
            raise DatasetError(
                "Several datasets hold photos of these paths: evaluate with --dataset on the command line."
            )
        masks = open_masks(source, options)
        watched |= _watch_sample(masks)
        matches = match_photos(masks, list(photos["path"]))
        previews, read, failed = _read_previews(masks, matches, photos, store, palette)
        if read == len(failed):
            raise DatasetError(f"None of the {read} masks looked at can be used. {failed[0]}")
        return Inspection(
            watched=tuple(watched.items()),
            photos=len(photos),
            matched=len(matches.masks),
            description=_describe(masks, list(matches.masks.values())),
            rules=matches.describe(),
            unused=len(matches.without_photo),
            classes=masks.classes,
            previews=tuple(previews),
            read=read,
            failed=tuple(failed),
        )
    except SegError as error:
        return Inspection(watched=tuple(watched.items()), refusal=str(error))


def _describe(masks: Masks, names: Sequence[str]) -> str:
    """Return `Masks.describe` without the number of masks and the full stop."""
    text = masks.describe(names).removesuffix(".")
    _, found, rest = text.partition(" read as ")
    return f"read as {rest}" if found else text


def _read_previews(
    masks: Masks, matches: Matches, photos: pd.DataFrame, store: Store, palette: str
) -> tuple[list[MaskPreview], int, list[str]]:
    """Return the previews, those with classes first; how many masks were read; and why some cannot be used."""
    pairs = list(matches.masks.items())
    pairs = pairs[:: max(1, len(pairs) // _READ_FOR_PREVIEWS)][:_READ_FOR_PREVIEWS]
    photo_rows = photos[photos["path"].isin([photo for photo, _ in pairs])].astype("object")
    rows = {row["path"]: row for row in photo_rows.to_dict("records")}
    found: list[tuple[str, Mask]] = []
    failed = []
    for photo, name in pairs:
        row = rows[photo]
        label = row["label"] if isinstance(row["label"], str) else None
        try:
            found.append((photo, masks.read(name, (row["width"], row["height"]), label)))
        except MaskError as error:
            failed.append(str(error))
    found.sort(key=lambda pair: not _shows_class(pair[1]))  # stable
    previews = [
        MaskPreview(
            photo,
            preview(_read_thumbnail(store, rows[photo]["image_id"]), mask, palette, masks.classes),
            tuple(_class_shares(mask, masks.classes)),
        )
        for photo, mask in found[:PREVIEWS]
    ]
    return previews, len(pairs), failed


def _read_thumbnail(store: Store, image_id: str) -> bytes | None:
    try:
        return store.thumbnails().read(image_id)
    except OSError:
        return None


def _shows_class(mask: Mask) -> bool:
    return bool(((mask != 0) & (mask != VOID)).any())


def _class_shares(mask: Mask, classes: Sequence[str]) -> list[tuple[str, float]]:
    pixels = np.bincount(mask.ravel(), minlength=256)
    shares = [(name, float(pixels[index] / mask.size)) for index, name in enumerate(classes) if index and pixels[index]]
    return sorted(shares, key=lambda pair: -pair[1])


# --- whether they are still the same -----------------------------------------------------------------------------


def _watch_folders(source: Path) -> dict[Path, tuple[int, int] | None]:
    """Return what tells of files that come or go: the folders' state, and that of a labelmap beside the masks."""
    folders = [path for path, _ in walk(source)][:_MAX_FOLDERS_WATCHED] if source.is_dir() else [source]
    labelmaps = [source / LABELMAP, source.resolve().parent / LABELMAP]
    return {path: _stamp(path) for path in (*folders, *labelmaps)}


def _watch_sample(masks: Masks) -> dict[Path, tuple[int, int] | None]:
    """Return the state of the files that settled how the masks are read, as they were when listed."""
    if not masks.source.is_dir():
        return {}
    files = masks.files.iloc[:: max(1, len(masks.files) // _SAMPLE)]
    return {
        masks.file(name): (int(mtime_ns), int(size))
        for name, mtime_ns, size in zip(files["path"], files["mtime_ns"], files["bytes"], strict=True)
    }


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
