"""What is there to do? Compare a scan with what is known of the files and what a run has computed.

In: the scan's frame, the file index, ids. Out: a `Work`: the files to open, and counts of those that need not be.
Pure: opens no file and asks no store.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from seglib.data.scan import RECORD_COLUMNS
from seglib.store.schemas import VANISHED

Record = dict[str, Any]
"""One row of the scan, with what is known of the file: image_id or None."""


@dataclass(frozen=True)
class Work:
    first: list[Record]
    """New or changed files, and one file of each picture that the run has not computed yet."""
    repeats: list[Record]
    """Further files whose picture one of `first` should bring."""
    computed_ids: set[str]
    reused: int
    failed: int

    @property
    def total(self) -> int:
        return len(self.first) + len(self.repeats) + self.reused + self.failed

    @classmethod
    def planned(
        cls, records: pd.DataFrame, known: pd.DataFrame, computed_ids: set[str], readable_again: set[str], verify: bool
    ) -> "Work":
        """Compare the scan with what is known. A file is unchanged if its bytes and mtime_ns are, and is not opened."""
        facts = known[["path", "bytes", "mtime_ns", "image_id", "reason"]]
        joined = records.merge(facts, on="path", how="left", suffixes=("", "_known"), sort=False)
        same = (joined["bytes"] == joined["bytes_known"]) & (joined["mtime_ns"] == joined["mtime_ns_known"])
        same &= joined["reason"] != VANISHED
        trusted = same & (not verify)
        failed = trusted & joined["reason"].notna() & ~joined["path"].isin(readable_again)
        identified = same & joined["reason"].isna()
        reused = trusted & identified & joined["image_id"].isin(computed_ids)
        repeated = trusted & identified & ~reused & joined["image_id"].where(identified).duplicated()
        joined["image_id"] = joined["image_id"].astype("object").where(identified, None)
        columns = [*RECORD_COLUMNS, "image_id"]
        return cls(
            first=_records(joined.loc[~failed & ~reused & ~repeated, columns]),
            repeats=_records(joined.loc[repeated, columns]),
            computed_ids=computed_ids,
            reused=int(reused.sum()),
            failed=int(failed.sum()),
        )


def _records(frame: pd.DataFrame) -> list[Record]:
    """Rows as dictionaries with None for null."""
    records: list[Record] = pa.Table.from_pandas(frame, preserve_index=False).to_pylist()
    return records


def scanned(record: Record) -> Record:
    """What the scan itself said of a file."""
    return {name: record[name] for name in RECORD_COLUMNS}
