"""Keep what the newest scan of each dataset left out, in `datasets/<id>/scan.json`.

Stores of older versions have no such record, and older versions ignore it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from seglib.data.left_out import LeftOut
from seglib.errors import DamagedFileError
from seglib.fileio import json_record
from seglib.store.records import Dataset, find_damaged_records
from seglib.store.store import Store

_REMEDY = "run over the folder of its photos again, which rewrites it"


@dataclass(frozen=True)
class ScanRecord:
    """Contents of `scan.json`."""

    left_out: LeftOut
    follow_links: bool
    """Whether the scan followed links out of the dataset's folder."""


def keep(store: Store, dataset: Dataset, scan: ScanRecord) -> None:
    """Write the record in place of that of the scan before, unless they are equal."""
    file, value = store.scan_record(dataset.id), json_record.encode(asdict(scan))
    if not file.exists() or file.read_bytes() != value:
        store.atomic.write(file, value)


def last(store: Store, dataset: Dataset) -> ScanRecord | None:
    """The record of the newest scan; None if there is none, or it is damaged (see `find_damaged`)."""
    try:
        return _read(store.scan_record(dataset.id))
    except DamagedFileError:
        return None


def find_damaged(store: Store) -> dict[str, str]:
    """Map dataset id -> error message for each record that cannot be read."""
    return find_damaged_records(store.scan_records(), _read)


def _read(file: Path) -> ScanRecord:
    record = json_record.read(file, _REMEDY)
    try:
        left_out, follow_links = LeftOut.from_record(record["left_out"]), record["follow_links"]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise json_record.damaged_error(file, _REMEDY) from None
    if not isinstance(follow_links, bool):
        raise json_record.damaged_error(file, _REMEDY)
    return ScanRecord(left_out, follow_links)
