"""Export statistics (CSV, Parquet), lists of photos (CSV), masks and overlays (PNG files, zip), and a data dictionary.

Every file is written under a temporary name and renamed when complete. Only the list contains absolute paths.
"""

import codecs
import csv
import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath

import pandas as pd

from seglib.classes import BACKGROUND, PRESENT_SHARE, palette, unpainted_values
from seglib.data.photo_measures.exif import PhotoExif
from seglib.data.photo_root import name_photo
from seglib.errors import StoreError, UsageError
from seglib.fileio.atomic import replacing
from seglib.masks import overlay, png
from seglib.masks.statistics import LOW_MARGIN, share_column
from seglib.query.columns import AGREEMENT_WORDS, class_share, classes_of, label_agreement, to_float64
from seglib.query.fields import COLUMN_PREFIX, own_columns, read_table, uses_columns
from seglib.query.filters import Filters, select
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.schemas import TAG_SEPARATOR
from seglib.store.store import Store

Content = bytes | Iterable[bytes]
"""Content of a file, whole or in pieces."""

_MAX_NAME_BYTES = 255  # of a file name, on usual file systems

NOTHING_SEEN = "background only"
"""What was seen in a photo in which no class but the background is present."""

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")

_EXIF = {field.name for field in fields(PhotoExif)}

_MEANINGS = {
    "dataset": "Name of the dataset, unique in its store.",
    "path": "Path of the photo relative to the dataset's folder, with /; "
    "in CSV prefixed with ' if it could be read as a formula.",
    "split": "train, val, test or empty, from the nearest folder above.",
    "label": "Name of the photo's folder, or empty.",
    "width": "Width of the photo in pixels, after EXIF rotation.",
    "height": "Height of the photo in pixels, after EXIF rotation.",
    "image_id": "SHA-256 of the file's bytes, first 32 hex digits.",
    "run": "Model, resize and a digest of all that changes a mask.",
    "model": "Name of the model.",
    "grid_width": "Width of the mask in pixels.",
    "grid_height": "Height of the mask in pixels.",
    "confidence": "Mean over pixels of the winning softmax probability, 0..1.",
    "entropy": "Mean over pixels of the entropy of the class probabilities, divided by its maximum, 0..1.",
    "low_margin": f"Share of pixels whose two best probabilities differ by less than {LOW_MARGIN}, 0..1.",
    "dominant": "Class with the most pixels, not counting background; background if there is no other.",
    "animal": "cat or dog, whichever has more pixels; none if neither has any; empty if the model knows neither.",
    "content": "Of the classes that the dataset's folder labels name, the one with most pixels; none if none has any; "
    "empty if the labels name no class of the model.",
    "label_class": "Class that the folder label names, alone or by the dataset's label map; empty if it names none.",
    "tags": f"Tags of the photo, sorted and separated by {TAG_SEPARATOR}; empty without any.",
}


def stats_frame(
    store: Store,
    runs: Sequence[str] | None = None,
    filters: Filters | None = None,
    *,
    image_ids: "pd.Series[str] | None" = None,
) -> pd.DataFrame:
    """The table with `share:<class>` columns (0..1, six decimals) after the pixel counts; default: all runs.

    `image_ids` restricts it to these images.
    """
    table = _select_rows(store, runs, filters or Filters())
    table = table if image_ids is None else table[table["image_id"].isin(image_ids)]
    added = {share_column(name): class_share(table, name).round(6) for name in classes_of(table)}
    position = max((i for i, c in enumerate(table.columns) if c.startswith("px:")), default=len(table.columns) - 1) + 1
    return pd.concat(
        [table.iloc[:, :position], pd.DataFrame(added, index=table.index), table.iloc[:, position:]], axis=1
    )


def list_frame(
    store: Store,
    run: str,
    filters: Filters | None = None,
    *,
    image_ids: "pd.Series[str] | None" = None,
    with_full_paths: bool = True,
) -> pd.DataFrame:
    """A list of photos for people: where each one is, what was seen in it, and whether its folder says the same.

    Columns: path, full path, dataset, folder, seen (the largest class that is present, not counting background),
    its share (0..1, six decimals; null where only background was seen), confidence (0..1), agreement (one of
    `AGREEMENT_WORDS`), tags, column:<name> of each own column. `image_ids` restricts it to these images;
    `with_full_paths=False` omits the full path.
    """
    table = _select_rows(store, [run], filters or Filters())
    table = table if image_ids is None else table[table["image_id"].isin(image_ids)]
    roots = {dataset.name: dataset.root for dataset in store.datasets()}
    seen, share = _largest_class(table)
    whole = [name_photo(roots[name], path) for name, path in zip(table["dataset"], table["path"], strict=True)]
    columns = {
        "path": table["path"],
        "full path": whole,
        "dataset": table["dataset"],
        "folder": table["label"],
        "seen": seen,
        "share": share.round(6),
        "confidence": to_float64(table["confidence"]),
        "agreement": label_agreement(table).astype("object").fillna("").map(AGREEMENT_WORDS),
        "tags": table["tags"],
        **{COLUMN_PREFIX + name: table[COLUMN_PREFIX + name] for name in own_columns(table)},
    }
    if not with_full_paths:
        del columns["full path"]
    return pd.DataFrame(columns, index=table.index).reset_index(drop=True)


def _select_rows(store: Store, runs: Sequence[str] | None, filters: Filters) -> pd.DataFrame:
    """The rows that pass the filters, with the photos' measures unless a part of these is damaged."""
    with_measures = uses_columns(filters) or not photo_measures.find_damaged(store)
    return select(store.table(runs, with_measures=with_measures), filters)


def _largest_class(table: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """The largest class that is present in each row, not counting background, and its share (0..1)."""
    names = [name for name in classes_of(table) if name != BACKGROUND]
    largest = pd.Series(0.0, table.index)
    seen = pd.Series(NOTHING_SEEN, table.index, dtype="object")
    for name in names:
        share = class_share(table, name)
        is_largest = (share >= PRESENT_SHARE) & (share > largest)
        largest, seen = largest.mask(is_largest, share), seen.mask(is_largest, name)
    return seen, largest.mask(largest == 0)


def list_bytes(frame: pd.DataFrame) -> bytes:
    """Encode a list as CSV for spreadsheets, which take UTF-8 for another encoding unless it begins with a mark."""
    data = csv_bytes(frame)
    return data if data.isascii() else codecs.BOM_UTF8 + data


def csv_text(columns: Mapping[str, Sequence[object]]) -> str:
    """Return a small table as the text that `list_bytes` would encode; the columns have equal lengths."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_escape_formula, columns))
    writer.writerows(zip(*(map(_csv_value, column) for column in columns.values()), strict=True))
    text = buffer.getvalue().encode("utf-8", "backslashreplace").decode()
    return text if text.isascii() else f"\ufeff{text}"


def _csv_value(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else _escape_formula(value)


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Encode as UTF-8 CSV, prefixing text that spreadsheets would run as a formula with `'` (OWASP: CSV injection)."""
    safe = frame.copy()
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            safe[name] = frame[name].astype("object").map(_escape_formula)
    return safe.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def dictionary_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Data dictionary with one row per column of an export: column, type, meaning."""
    rows = [(name, str(frame[name].dtype), _describe_column(name)) for name in frame.columns]
    return pd.DataFrame(rows, columns=["column", "type", "meaning"])


def mask_files(
    store: Store, runs: Sequence[str] | None, filters: Filters, *, photo_size: bool = False, flat: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield (relative file name, PNG of class indices) per row; names are `<run>/<dataset>/<path>.png`.

    `photo_size` enlarges masks to their photos' sizes by nearest neighbour; `flat` names them `<stem>.png`.
    Raises `UsageError` if two masks would have the same name.
    """
    rows = list(_rows(store, runs, filters))
    names = [f"{PurePosixPath(row['path']).stem}.png" if flat else _file_name(row) for row in rows]
    _refuse_row_clashes(names, rows)
    for row, name in zip(rows, names, strict=True):
        if photo_size:
            mask = png.resize_mask(store.mask(row["run"], row["image_id"]), (int(row["width"]), int(row["height"])))
            yield name, png.encode_index_png(mask)
            continue
        try:
            yield name, store.masks(row["run"]).read(row["image_id"])
        except OSError:
            store.mask(row["run"], row["image_id"])  # raises a StoreError with a remedy
            raise


def overlay_files(
    store: Store, runs: Sequence[str] | None, filters: Filters, *, alpha: float, colours: str
) -> Iterator[tuple[str, bytes]]:
    """Yield (relative file name, PNG of the overlay at the image's size) per row."""
    paints = {run.run: (palette(colours, run.classes), unpainted_values(run.classes)) for run in store.runs()}
    rows = list(_rows(store, runs, filters))
    names = [_file_name(row) for row in rows]
    _refuse_row_clashes(names, rows)
    for row, name in zip(rows, names, strict=True):
        photo, mask = store.image(row["dataset"], row["path"]), store.mask(row["run"], row["image_id"])
        (paint, unpainted), buffer = paints[row["run"]], io.BytesIO()
        overlay.draw_overlay(photo, mask, paint, alpha, unpainted=unpainted).save(buffer, "PNG")
        yield name, buffer.getvalue()


def _refuse_row_clashes(names: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    refuse_clashes(names, [f"{row['run']}: {row['dataset']}/{row['path']}" for row in rows])


def write_file(out: Path, data: Content) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)

    _write_atomically(out, write)


def write_frame(out: Path, frame: pd.DataFrame) -> None:
    """Write Parquet if the name ends in `.parquet`, otherwise CSV."""
    write_file(out, parquet_bytes(frame) if out.suffix == ".parquet" else csv_bytes(frame))


def write_zip(out: Path, files: Iterator[tuple[str, Content]]) -> int:
    """Write a reproducible zip (fixed timestamps) and return its number of files."""
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, data in files:
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                if not name.endswith(".png"):  # PNG is already compressed
                    entry.compress_type = zipfile.ZIP_DEFLATED
                if isinstance(data, bytes):
                    archive.writestr(entry, data)
                else:
                    with archive.open(entry, "w", force_zip64=True) as file:
                        file.writelines(data)
                count += 1

    _write_atomically(out, write)
    return count


def write_folder(
    out: Path, files: Iterator[tuple[str, Content]], *, on_note: Callable[[str], None] | None = None
) -> int:
    """Write files below a folder and return their number. `on_note` is told of other files that were there already."""
    if out.exists() and not out.is_dir():
        raise UsageError(
            f"{out.name!r} is a file, and this export writes a folder: name another `out`, or export a zip file."
        )
    was_used = out.is_dir() and any(out.iterdir())
    written = set()
    for name, data in files:
        write_file(out / name, data)
        written.add(PurePosixPath(name))
    others = _find_others(out, written) if was_used else []
    if others and on_note is not None:
        are = "other file was" if len(others) == 1 else "other files were"
        on_note(
            f"{len(others):,} {are} in {out.name!r} already, e.g. {others[0]!r}, and not part of this export: for a "
            "folder that holds nothing else, name a new one with `out`."
        )
    return len(written)


def _find_others(out: Path, written: Collection[PurePosixPath]) -> list[str]:
    """Other files of the same kinds in the folders that an export has written."""
    kinds = {name.suffix for name in written}
    below = {out / name.parts[0] for name in written if len(name.parts) > 1}
    files = [*out.iterdir(), *(file for folder in below for file in folder.rglob("*"))]
    names = {PurePosixPath(file.relative_to(out).as_posix()) for file in files if file.is_file()}
    return sorted(str(name) for name in names - set(written) if name.suffix in kinds)


def refuse_clashes(names: Sequence[str], sources: Sequence[str]) -> None:
    """Raise `UsageError` if two files would have the same name; `sources` says what each is made from."""
    first: dict[str, str] = {}
    for name, source in zip(names, sources, strict=True):
        if name in first:
            raise UsageError(
                f"{first[name]!r} and {source!r} would both be written to {name!r}: choose one of them with a filter "
                "or a run, or take an export that keeps folders and endings."
            )
        first[name] = source


def folder_name(run: str, dataset: str) -> str:
    """Folder of a run's files of a dataset."""
    return str(PurePosixPath(run, dataset_folder(dataset)))


def dataset_folder(dataset: str) -> str:
    """Name of a dataset's folder, which cannot escape the output folder, whatever the dataset is called."""
    return re.sub(r"[^\w.-]+", "_", dataset).strip(".") or "dataset"


def safe_path(path: str) -> PurePosixPath:
    """A photo's path, made such that it cannot escape the output folder."""
    return PurePosixPath(*(step for step in PurePosixPath(path.replace("\0", "_")).parts if step not in ("/", "..")))


def _rows(store: Store, runs: Sequence[str] | None, filters: Filters) -> Iterator[dict[str, str]]:
    table = select(read_table(store, runs, filters), filters)
    columns = ["run", "dataset", "path", "image_id", "width", "height"]
    for values in table[columns].astype("object").itertuples(index=False, name=None):
        yield dict(zip(columns, values, strict=True))


def _file_name(row: dict[str, str]) -> str:
    path = safe_path(row["path"])
    named = path.with_name(f"{path.name}.png")
    if len(os.fsencode(named.name)) > _MAX_NAME_BYTES:
        named = path.with_suffix(".png")
    return f"{folder_name(row['run'], row['dataset'])}/{named}"


def _write_atomically(out: Path, write: Callable[[Path], object]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary:
            write(temporary)
    except OSError as error:
        raise StoreError(f"{out.name!r} cannot be written ({error.strerror}): name another place with `out`.") from None


def _escape_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_START) else value


def _describe_column(column: str) -> str:
    kind, _, name = column.partition(":")
    per_class = {
        "px": f"Pixels of the mask that are {name}; empty if the model does not know this class.",
        "share": f"Pixels that are {name} divided by grid_width * grid_height, 0..1.",
        "column": f"Own column {name}: added to the photos from a file.",
        "blobs": f"Connected regions (8 neighbours) of {name} of at least {PRESENT_SHARE:.1%} of the mask.",
    }
    if kind == "column" and name in photo_measures.MEANINGS:
        by_hand = " An own column of this name takes its place." if name in _EXIF else ""
        return photo_measures.MEANINGS[name] + by_hand
    return per_class[kind] if name else _MEANINGS[column]
