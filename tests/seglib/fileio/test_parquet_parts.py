import os
import threading

import pyarrow as pa
import pytest

from seglib.errors import DamagedFileError, StoreError
from seglib.fileio import parquet_parts
from seglib.fileio.atomic import AtomicWriter

SCHEMA = pa.schema([("key", pa.string()), ("value", pa.int32())])


def rows(*pairs: tuple[str, int]) -> pa.Table:
    return pa.table({"key": [k for k, _ in pairs], "value": pa.array([v for _, v in pairs], pa.int32())}, SCHEMA)


def read(folder) -> list[tuple[str, int]]:
    table = parquet_parts.read(folder, SCHEMA)
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.fixture
def scratch(tmp_path):
    return AtomicWriter(tmp_path)


def test_parts_are_read_in_the_order_of_writing(tmp_path, scratch):
    for value in range(3):
        parquet_parts.append(scratch, tmp_path / "rows", rows(("a", value)))
    assert read(tmp_path / "rows") == [("a", 0), ("a", 1), ("a", 2)]
    assert parquet_parts.keep_newest(parquet_parts.read(tmp_path / "rows", SCHEMA), ["key"]).to_pylist() == [
        {"key": "a", "value": 2}
    ]


def test_no_folder_is_an_empty_table(tmp_path):
    assert read(tmp_path / "nothing") == []


def test_merging_makes_one_part_and_keeps_the_newest_of_a_key(tmp_path, scratch):
    folder = tmp_path / "rows"
    parquet_parts.append(scratch, folder, rows(("a", 1), ("b", 1)))
    parquet_parts.append(scratch, folder, rows(("a", 2), ("c", 2)))
    parquet_parts.merge(scratch, folder, SCHEMA, ["key"])
    assert len(parquet_parts.list_parts(folder)) == 1
    assert read(folder) == [("b", 1), ("a", 2), ("c", 2)]


def test_large_parts_are_left_alone(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(parquet_parts, "MERGED_ROWS", 3)
    folder = tmp_path / "rows"
    large = parquet_parts.append(scratch, folder, rows(("a", 1), ("b", 1), ("c", 1)))
    for value in (2, 3):
        parquet_parts.append(scratch, folder, rows(("a", value)))
    parquet_parts.merge(scratch, folder, SCHEMA, ["key"])
    assert large.exists()
    assert read(folder) == [("a", 1), ("b", 1), ("c", 1), ("a", 3)]


@pytest.mark.slow
def test_readers_never_miss_rows_while_others_merge(tmp_path, scratch):
    folder, stop, short = tmp_path / "rows", threading.Event(), []
    parquet_parts.append(scratch, folder, rows(("a", 1)))

    def look() -> None:
        while not stop.is_set():
            if "a" not in {key for key, _ in read(folder)}:
                short.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for value in range(60):
        parquet_parts.append(scratch, folder, rows((f"k{value}", value)))
        parquet_parts.merge(scratch, folder, SCHEMA, ["key"])
    stop.set()
    reader.join()
    assert not short
    assert len(read(folder)) == 61


def test_a_damaged_part_is_named_in_a_sentence(tmp_path, scratch):
    folder = tmp_path / "runs" / "r" / "stats"
    path = parquet_parts.append(scratch, folder, rows(("a", 1)))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match=rf"stats/{path.name} is damaged .*delete this file and run again"):
        read(folder)


# --- damage ---


READINGS = {
    "all": lambda folder: parquet_parts.read(folder, SCHEMA),
    "a column of some rows": lambda folder: parquet_parts.read(folder, SCHEMA, ["key"], where=("key", ["0007"])),
    "the number of rows": parquet_parts.count_rows,
}


@pytest.mark.parametrize("reading", READINGS)
def test_a_flipped_bit_anywhere_is_seen_by_every_reading(tmp_path, scratch, reading):
    """Also in the footer, and in columns that are not asked for."""
    table = pa.table({"key": [f"{i:04}" for i in range(500)], "value": pa.array(range(500), pa.int32())}, SCHEMA)
    path = parquet_parts.append(scratch, tmp_path / "rows", table)
    whole = path.read_bytes()
    for at in range(0, len(whole), 31):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        with pytest.raises(DamagedFileError):
            READINGS[reading](tmp_path / "rows")


def test_a_part_that_was_whole_is_not_taken_for_whole_after_a_change(tmp_path, scratch):
    path = parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    os.utime(path, (1, 1))  # long ago: its digest is compared once
    assert read(tmp_path / "rows") == read(tmp_path / "rows") == [("a", 1)]
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match="its content is not what was written"):
        parquet_parts.count_rows(tmp_path / "rows")


def test_pages_are_compared_by_every_reading_also_where_a_name_holds_no_digest(tmp_path, scratch):
    table = pa.table({"key": [f"{i:04}" for i in range(500)], "value": pa.array(range(500), pa.int32())}, SCHEMA)
    path = parquet_parts.append(scratch, tmp_path / "rows", table)
    path = path.rename(path.with_name("part-1-00000000.parquet"))  # as earlier versions called them
    data = bytearray(path.read_bytes())
    for bit in range(8):
        data[len(data) // 4] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(DamagedFileError):
            read(tmp_path / "rows")
        data[len(data) // 4] ^= 1 << bit


def test_every_flipped_bit_is_found_when_asked(tmp_path, scratch):
    path = parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        assert parquet_parts.find_damaged(tmp_path / "rows", SCHEMA), at
    path.write_bytes(whole)
    assert not parquet_parts.find_damaged(tmp_path / "rows", SCHEMA)
    path.rename(path.with_name("part-1-00000000.parquet"))  # as earlier versions called them
    assert not parquet_parts.find_damaged(tmp_path / "rows", SCHEMA)
