"""Plan a run: compare a scan with the file index and the run's results to find the files that must be processed.

Input: the scan's DataFrame, the file index, the computed image ids. Output: a `RunPlan` with the files to open and the
counts of those that can be skipped. Pure functions: they access neither files nor the store.
"""

from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from seglib.data.scan import RECORD_COLUMNS, Record
from seglib.store.schemas import VANISHED


@dataclass(frozen=True)
class RunPlan:
    to_decode: list[Record]
    """New or changed files, and one file per known image that the run has not computed yet."""
    repeats: list[Record]
    """Duplicates: files whose image is expected to be computed from a file in `to_decode`."""
    computed_ids: set[str]
    reused: int
    failed: int

    @property
    def total(self) -> int:
        return len(self.to_decode) + len(self.repeats) + self.reused + self.failed

    @classmethod
    def build(
        cls,
        records: pd.DataFrame,
        stored_files: pd.DataFrame,
        computed_ids: set[str],
        readable_again: set[str],
        verify: bool,
    ) -> "RunPlan":
        """Compare the scan with the file index. A file with unchanged `bytes` and `mtime_ns` counts as unchanged.

        Unchanged files that failed before are skipped, unless they are in `readable_again`; with `verify`, every file
        is read again.
        """
        joined = _compare(records, stored_files, computed_ids, readable_again, verify)
        failed, reused, identified = joined["failed"], joined["reused"], joined["identified"]
        trusted = joined["trusted"]
        repeated = trusted & identified & ~reused & joined["image_id"].where(identified).duplicated()
        joined["image_id"] = joined["image_id"].astype("object").where(identified, None)
        columns = [*RECORD_COLUMNS, "image_id"]
        return cls(
            to_decode=_records(joined.loc[~failed & ~reused & ~repeated, columns]),
            repeats=_records(joined.loc[repeated, columns]),
            computed_ids=computed_ids,
            reused=int(reused.sum()),
            failed=int(failed.sum()),
        )


def count_pending(
    records: pd.DataFrame, stored_files: pd.DataFrame, computed_ids: set[str], readable_again: set[str]
) -> int:
    """Number of files of a scan that a run with these results has still to process; see `RunPlan.build`."""
    joined = _compare(records, stored_files, computed_ids, readable_again, verify=False)
    return int((~joined["failed"] & ~joined["reused"]).sum())


def _compare(
    records: pd.DataFrame, stored_files: pd.DataFrame, computed_ids: set[str], readable_again: set[str], verify: bool
) -> pd.DataFrame:
    """The scan with the known `image_id`, and per file whether it is `trusted` (unchanged, and not to be read again),
    `identified` (unchanged and readable before), `failed` (as before), and `reused` (computed already).
    """
    facts = stored_files[["path", "bytes", "mtime_ns", "image_id", "reason"]]
    joined = records.merge(facts, on="path", how="left", suffixes=("", "_known"), sort=False)
    same = (joined["bytes"] == joined["bytes_known"]) & (joined["mtime_ns"] == joined["mtime_ns_known"])
    same &= joined["reason"] != VANISHED
    trusted = same & (not verify)
    identified = same & joined["reason"].isna()
    return joined.assign(
        trusted=trusted,
        identified=identified,
        failed=trusted & joined["reason"].notna() & ~joined["path"].isin(readable_again),
        reused=trusted & identified & joined["image_id"].isin(computed_ids),
    )


def _records(frame: pd.DataFrame) -> list[Record]:
    """Rows as dictionaries, with None for null."""
    records: list[Record] = pa.Table.from_pandas(frame, preserve_index=False).to_pylist()
    return records


def select_scan_fields(record: Record) -> Record:
    """The columns of `record` that come from the scan."""
    return {name: record[name] for name in RECORD_COLUMNS}
