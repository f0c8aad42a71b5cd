"""Where a run's prepared table lies in the store, and which version of the store it shows.

cache/tables/<run>/manifest.json            version, pieces in order, repeats
cache/tables/<run>/piece-<digest>.parquet   rows sorted by dataset and path, at most `MOST_ROWS`
cache/tables/<run>/repeats-<digest>.parquet rows of photos that have several: row, image, in_dataset
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seglib.errors import StoreError
from seglib.fileio import json_record
from seglib.store.store import Store

MOST_ROWS = 1_000_000
"""Rows of a piece when it is first cut."""

_REMEDY = "delete the folder of this file and run `seglib prepare` again"


@dataclass(frozen=True)
class Piece:
    name: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    folder: Path
    version: str
    """`Store.version` without tags of the store that the table shows."""
    made: str
    """When it was made, ISO 8601 in UTC."""
    pieces: tuple[Piece, ...]
    """At least one."""
    cuts: tuple[tuple[str, str], ...]
    """(dataset, path) of the first file of each range of files: the next table is cut there, too, so that equal pieces
    stay.
    """
    repeats: str
    """Name of the file of repeated photos."""

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in (*(piece.name for piece in self.pieces), self.repeats)]


def read_manifest(store: Store, run: str) -> Manifest | None:
    """The prepared table of a run; None without one, and if it is damaged or incomplete, so that it is made again."""
    folder = store.table_folder(run)
    try:
        record = json_record.read(folder / "manifest.json", _REMEDY)
        pieces = tuple(Piece(one["name"], one["rows"]) for one in record["pieces"])
        cuts = tuple((dataset, path) for dataset, path in record["cuts"])
        manifest = Manifest(folder, record["version"], record["made"], pieces, cuts, record["repeats"])
    except (OSError, StoreError, KeyError, TypeError, ValueError):
        return None
    return manifest if all(is_whole(file) for file in manifest.files) else None


def is_whole(file: Path) -> bool:
    """Whether a file of the table is there and not cut off: a Parquet file ends with its footer."""
    try:
        pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        return False
    return True


def write_manifest(store: Store, manifest: Manifest) -> None:
    record = {name: value for name, value in asdict(manifest).items() if name != "folder"}
    store.atomic.write(manifest.folder / "manifest.json", json_record.encode(record), durable=True)
