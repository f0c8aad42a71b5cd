"""A plan says of each file of a scan what a plain comparison says, in however many ranges the scan is compared."""

import os
import shutil

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.data.image_ids import ImageIds
from seglib.data.scan import RECORD_COLUMNS
from seglib.pipeline import planning
from seglib.pipeline.planning import RunPlan, count_pending, split_by_path
from seglib.store.schemas import VANISHED
from tests.seglib.small_runs import run

IDS = [digit * 32 for digit in "abcd"]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=3)
KNOWN = st.sampled_from(["same", "other size", "other time", "vanished", "failed", "failed again", "new"])


@pytest.fixture(params=[1, 2, 3])
def ranges(request, monkeypatch):
    monkeypatch.setattr(planning, "RANGE_FILES", request.param)


class Index:
    """The rows of an index that lies in memory."""

    def __init__(self, rows: list[dict]) -> None:
        schema = {name: pa.string() for name in ("path", "image_id", "reason", "etag")} | {"bytes": pa.int64()}
        self.rows = pa.Table.from_pylist(rows, pa.schema(schema | {"mtime_ns": pa.int64()}))

    def read(self, paths):
        rows = self.rows if paths.filter is None else self.rows.filter(paths.filter)
        return rows.to_pandas(integer_object_nulls=True)


@given(
    st.dictionaries(NAMES, st.tuples(KNOWN, st.sampled_from(IDS), st.booleans())),
    st.sets(st.sampled_from(IDS)),
    st.booleans(),
)
def test_the_plan_is_a_plain_comparison(files, computed, verify):
    records, rows = [], []
    for path, (state, image_id, in_bucket) in sorted(files.items()):
        record = {"path": path, "bytes": 10, "mtime_ns": 20, "etag": None, "split": None, "label": "cats"}
        record |= {"etag": '"x"'} if in_bucket else {}
        records.append(record)
        failed, vanished = state.startswith("failed"), state == "vanished"
        row = {"path": path, "bytes": 10, "mtime_ns": 20, "image_id": None if failed else image_id, "reason": None}
        row |= {"etag": '"x"', "mtime_ns": 30} if in_bucket else {}
        other = {"etag": '"y"'} if in_bucket else {"mtime_ns": 21}
        row |= {"bytes": 11} if state == "other size" else other if state == "other time" else {}
        rows += [row | {"reason": "damaged" if failed else VANISHED if vanished else None}] if state != "new" else []
    again = {path for path, (state, *_) in files.items() if state == "failed again"}

    expected: dict[str, list] = {"decode": [], "repeats": [], "reused": [], "failed": []}
    seen = set()
    for path, (state, image_id, _) in sorted(files.items()):
        known = image_id if state == "same" else None
        if state == "failed" and not verify:
            expected["failed"].append(path)
        elif known in computed and not verify:
            expected["reused"].append(path)
        elif known in seen and not verify:
            expected["repeats"].append((path, known))
        else:
            expected["decode"].append((path, known))
        seen.add(known) if known else None

    frame = pd.DataFrame(records, columns=list(RECORD_COLUMNS))
    plan = RunPlan.build(frame, Index(rows), ImageIds(computed), lambda _: again, verify)
    assert [(one["path"], one["image_id"]) for one in plan.to_decode] == expected["decode"]
    assert [(one["path"], one["image_id"]) for one in plan.repeats] == expected["repeats"]
    assert (plan.reused, plan.failed) == (len(expected["reused"]), len(expected["failed"]))
    assert plan.total == len(files)
    if not verify:
        pending = count_pending(frame, Index(rows).read(planning.EVERY_PATH), ImageIds(computed), again)
        assert pending == len(plan.to_decode) + len(plan.repeats)


@given(st.sets(NAMES), st.sets(NAMES))
def test_ranges_hold_every_path_once(scanned, stored):
    records = pd.DataFrame({"path": sorted(scanned)}, dtype="str")
    rows = pa.table({"path": pa.array(sorted(stored), pa.string())})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "RANGE_FILES", 2)
        ranges = list(split_by_path(records))
    found = [rows if paths.filter is None else rows.filter(paths.filter) for paths, _ in ranges]
    assert [path for part in found for path in part["path"].to_pylist()] == sorted(stored)
    for (_, some), part in zip(ranges, found, strict=True):
        assert set(some["path"]) & stored <= set(part["path"].to_pylist())
    assert [path for _, some in ranges for path in some["path"]] == sorted(scanned)


@pytest.mark.usefixtures("ranges")
def test_a_run_in_ranges_is_the_same_run(photos, store, fake, tmp_path, paint):
    """What changes in the folder between two runs is found in every range."""
    shutil.copyfile(photos / "cats/a.png", photos / "dogs/copy.png")
    (photos / "cats/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    report = run(photos, store, fake)
    assert (report.computed, report.reused, report.failed) == (4, 1, 1)
    shutil.copyfile(photos / "cats/a.png", photos / "elks.png")  # a copy, in another range than the first
    (photos / "cats/b.png").unlink()
    paint("dogs/c.png", "cat")
    os.utime(photos / "dogs/d.png", ns=(1, 1))
    report = run(photos, store, fake)
    assert (report.computed, report.reused, report.failed, report.vanished) == (1, 4, 1, 1)
    report = run(photos, store, fake)
    assert (report.computed, report.reused, report.failed, report.vanished) == (0, 5, 1, 0)
    table = store.table()
    assert list(table["path"]) == ["cats/a.png", "dogs/c.png", "dogs/copy.png", "dogs/d.png", "elks.png"]
    assert list(table["dominant"]) == ["cat", "cat", "cat", "background", "cat"]
