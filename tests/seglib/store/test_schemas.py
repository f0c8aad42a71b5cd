"""The table and the failures equal those of a plain walk over all rows, on random stores with repeats and gaps."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from seglib.errors import DamagedFileError
from seglib.fileio import parquet_parts
from seglib.fileio.atomic import AtomicWriter
from seglib.inference.config import RunConfig
from seglib.masks.statistics import CONFIDENCE_COLUMNS, blobs_column, pixels_column
from seglib.pipeline.run import describe_run
from seglib.store.schemas import FILES_SCHEMA, VANISHED, read_rows_of_images, stats_schema
from seglib.store.store import Store

CLASSES = (("background", "cat", "dog"), ("background", "dog", "horse"))


def recipe(classes: tuple[str, ...]) -> RunConfig:
    return RunConfig(
        model=f"net{len(classes[-1])}",
        resize="64x64",
        precision="fp32",
        weights_sha256="0",
        quantised_sha256="",
        grid_rule="g",
        decoder="d",
        code_schema=1,
        classes=classes,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        code="installed",
    )


def file_rows(rng: np.random.Generator, scan: int) -> list[dict]:
    """Some of 12 paths with some of 8 contents; a row may be a failure, or say that the file has vanished."""
    rows = []
    for path in rng.permutation(12)[: rng.integers(13)]:
        reason = rng.choice(np.array([None, None, None, "not an image", VANISHED], dtype="object"))
        read = {"image_id": f"{rng.integers(8):032x}", "width": 40, "height": 30} if reason is None else {}
        empty = dict.fromkeys(("image_id", "width", "height"))
        label = rng.choice(np.array(["b", "a", None], dtype="object"))
        row = {
            "path": f"{path:02}.jpg",
            "bytes": int(path),
            "mtime_ns": scan,
            "split": None,
            "label": label,
            "detail": reason,
        }
        rows.append(empty | read | row | {"reason": reason, "scan": scan})
    return rows


def stats_rows(rng: np.random.Generator, classes: tuple[str, ...]) -> list[dict]:
    rows = []
    for content in rng.permutation(8)[: rng.integers(9)]:
        counts = {pixels_column(n): int(rng.integers(9)) for n in classes} | {blobs_column(n): 1 for n in classes}
        measures = dict.fromkeys(CONFIDENCE_COLUMNS, rng.choice(np.array([0.5, None], dtype="object")))
        names = {"dominant": str(rng.choice(classes)), "animal": rng.choice(np.array(["dog", "none", None], "object"))}
        rows.append({"image_id": f"{content:032x}", "grid_width": 4, "grid_height": 4} | counts | measures | names)
    return rows


@pytest.fixture(scope="module", params=range(8))
def random_store(tmp_path_factory, request) -> Store:
    """A store that no test changes."""
    tmp_path = tmp_path_factory.mktemp("random")
    rng = np.random.default_rng(request.param)
    store = Store.create(tmp_path / "store")
    for name in ("two", "one"):
        dataset = store.register_dataset(tmp_path / name)
        scans = [rows for scan in range(3) if (rows := file_rows(rng, scan))]
        for at in rng.permutation(len(scans)):  # two writers may commit in any order
            parquet_parts.append(
                store.atomic, store.files_folder(dataset), pa.Table.from_pylist(scans[at], FILES_SCHEMA)
            )
    for classes in CLASSES[: rng.integers(1, 3)]:
        run = store.keep_run(describe_run(recipe(classes), parameters=1, versions={}))
        for _ in range(3):
            table = pa.Table.from_pylist(stats_rows(rng, classes), stats_schema(classes))
            parquet_parts.append(store.atomic, store.stats_folder(run), table)
    return store


def newest_files(store: Store) -> list[dict]:
    """The row of each path's newest scan, by dataset and path."""
    found = []
    for dataset in store.datasets():
        by_path: dict[str, dict] = {}
        for part in sorted(store.files_folder(dataset).iterdir()):
            for row in pa.parquet.read_table(part).to_pylist():
                if row["path"] not in by_path or row["scan"] >= by_path[row["path"]]["scan"]:
                    by_path[row["path"]] = row
        found += [{"dataset": dataset.name, **by_path[path]} for path in sorted(by_path)]
    return found


def newest_stats(store: Store) -> dict[str, dict[str, dict]]:
    """image_id -> run -> its newest row."""
    found: dict[str, dict[str, dict]] = defaultdict(dict)
    for run in sorted(store.runs(), key=lambda run: run.run):
        for part in sorted(store.stats_folder(run).iterdir()):
            for row in pa.parquet.read_table(part).to_pylist():
                found[row["image_id"]][run.run] = row | {"run": run.run, "model": run.model}
    return found


def plain(frame: pd.DataFrame) -> list[dict]:
    return frame.astype("object").where(frame.notna(), None).to_dict("records")


def test_the_table_row_by_row(random_store):
    stats = newest_stats(random_store)
    table = random_store.table(with_tags=False)
    expected = [
        {name: (file | row).get(name) for name in table.columns}
        for file in newest_files(random_store)
        if file["reason"] is None
        for row in stats.get(file["image_id"], {}).values()
    ]
    assert plain(table) == expected
    assert table.index.equals(pd.RangeIndex(len(expected)))
    for name in ("dataset", "split", "label", "run", "model", "dominant", "animal"):
        categories = table[name].cat.categories
        assert categories.tolist() == sorted({str(value) for value in table[name].dropna()})
    for name in table.columns[table.columns.str.match("px:|blobs:")]:
        small = "int32" if name.startswith("px:") else "uint16"
        nullable = {"int32": "Int32", "uint16": "UInt16"}[small]
        assert str(table[name].dtype) == (nullable if table[name].isna().any() else small)


def test_one_run_of_one_data_set_is_a_part_of_the_table(random_store):
    run = random_store.runs()[0].run
    table = random_store.table(with_tags=False)
    part = random_store.table([run], ["two"], with_tags=False)
    expected = table[(table["run"] == run) & (table["dataset"] == "two")]
    assert plain(part) == plain(expected[part.columns])


def test_size_and_time_of_the_scan_come_with_the_table_if_asked_for(random_store):
    table = random_store.table(with_scan=True, with_tags=False)
    files = {(row["dataset"], row["path"]): (row["bytes"], row["mtime_ns"]) for row in newest_files(random_store)}
    found = zip(table["dataset"], table["path"], table["bytes"], table["mtime_ns"], strict=True)
    assert all(files[dataset, path] == (size, mtime_ns) for dataset, path, size, mtime_ns in found)
    rest = table.drop(columns=["bytes", "mtime_ns"])
    pd.testing.assert_frame_equal(rest, random_store.table(with_tags=False))


def test_a_table_may_be_changed_by_who_gets_it(random_store):
    table = random_store.table(with_tags=False)
    if len(table):
        table.loc[0, ["width", "path"]] = [7, "x"]
        assert table.loc[0, ["width", "path"]].tolist() == [7, "x"]


def test_the_failures_row_by_row(random_store):
    expected = [row for row in newest_files(random_store) if row["reason"] not in (None, VANISHED)]
    found = random_store.failures()
    assert plain(found) == [{name: row[name] for name in found.columns} for row in expected]


# --- rows of some images, found without reading the other parts ---


IDS_SCHEMA = pa.schema([("image_id", pa.string()), ("value", pa.int32())])


@pytest.fixture
def parts(tmp_path) -> dict[str, int]:
    """Four parts of fifty rows in `rows`; each id -> its value. Every tenth id is null, and two begin alike."""
    rng, scratch, known = np.random.default_rng(7), AtomicWriter(tmp_path), {}
    for number in range(4):
        ids = [rng.bytes(16).hex() if row % 10 else None for row in range(50)]
        ids[1] = "0badcafe" + rng.bytes(12).hex() if number in (1, 3) else ids[1]
        values = list(range(50 * number, 50 * number + 50))
        known |= {one: value for one, value in zip(ids, values, strict=True) if one}
        parquet_parts.append(scratch, tmp_path / "rows", pa.table({"image_id": ids, "value": values}, IDS_SCHEMA))
    return known


def found(folder, image_ids: list[str]) -> dict[str, int]:
    table = read_rows_of_images(folder, IDS_SCHEMA, ["image_id", "value"], image_ids)
    return dict(zip(table["image_id"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_the_rows_of_images_are_those_that_a_whole_reading_would_find(parts, tmp_path):
    ids, folder = list(parts), tmp_path / "rows"
    for chosen in ([ids[0]], ids[3::7], [one for one in ids if one.startswith("0badcafe")], ids):
        assert found(folder, [*chosen, "f" * 32, "no id", ""]) == {one: parts[one] for one in chosen}
    assert found(folder, []) == {}
    assert found(tmp_path / "nothing", ids) == {}


def test_parts_without_the_image_are_not_read_again(parts, tmp_path, monkeypatch):
    folder, (first, *_) = tmp_path / "rows", parts
    found(folder, [first])
    read, read_parts = [], parquet_parts.read_parts

    def watch(folder, names, *arguments, **options):
        read.extend(names)
        return read_parts(folder, names, *arguments, **options)

    monkeypatch.setattr(parquet_parts, "read_parts", watch)
    assert found(folder, [first]) == {first: parts[first]}
    assert read == parquet_parts.list_parts(folder)[:1]


def test_new_parts_are_found_and_damaged_ones_are_said(parts, tmp_path):
    folder, new = tmp_path / "rows", "ab" * 16
    found(folder, list(parts))
    parquet_parts.append(AtomicWriter(tmp_path), folder, pa.table({"image_id": [new], "value": [7]}, IDS_SCHEMA))
    assert found(folder, [new]) == {new: 7}
    part = folder / parquet_parts.list_parts(folder)[2]
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(DamagedFileError):
        found(folder, [new])
