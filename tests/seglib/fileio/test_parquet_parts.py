import errno
import os
import threading
from pathlib import Path

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


def test_a_merged_part_does_not_pass_newer_rows_in_a_part_that_is_left_alone(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(parquet_parts, "MERGED_ROWS", 3)
    folder = tmp_path / "rows"
    for value in (1, 2):
        parquet_parts.append(scratch, folder, rows(("a", value)))
    parquet_parts.append(scratch, folder, rows(("a", 3), ("b", 3), ("c", 3)))
    for value in (4, 5):
        parquet_parts.append(scratch, folder, rows(("b", value)))
    parquet_parts.merge(scratch, folder, SCHEMA, ["key"])
    assert read(folder) == [("a", 2), ("a", 3), ("b", 3), ("c", 3), ("b", 5)]


def test_merging_never_reads_more_than_a_group(tmp_path, scratch, monkeypatch):
    monkeypatch.setattr(parquet_parts, "GROUP_ROWS", 4)
    folder = tmp_path / "rows"
    for value in range(10):
        parquet_parts.append(scratch, folder, rows((f"k{value}", value)))
    parquet_parts.merge(scratch, folder, SCHEMA, ["key"])
    assert [parquet_parts.count_part_rows(folder / name) for name in parquet_parts.list_parts(folder)] == [4, 4, 2]
    assert read(folder) == [(f"k{value}", value) for value in range(10)]


def test_a_part_that_already_holds_what_merging_gives_stays(tmp_path, scratch):
    """As after a merge that was killed before it removed what it had merged."""
    folder = tmp_path / "rows"
    parquet_parts.append(scratch, folder, rows(("a", 1)))
    parquet_parts.append(scratch, folder, rows(("a", 1), ("b", 2)))
    for _ in range(2):
        parquet_parts.merge(scratch, folder, SCHEMA, ["key"])
        assert read(folder) == [("a", 1), ("b", 2)]


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
    "a column of some rows": lambda folder: parquet_parts.read(
        folder, SCHEMA, ["key"], where=parquet_parts.one_of("key", ["0007"])
    ),
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


# --- disks that several machines share ---


def refuse_reading(monkeypatch, number: int, times: int, after: int = 0) -> list[int]:
    """After so many files were read, reading fails so many times; returns what is left of them."""
    left, passes, read_bytes = [times], [after], Path.read_bytes

    def read(path: Path) -> bytes:
        if passes[0]:
            passes[0] -= 1
        elif left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    return left


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("times", [1, 5])
def test_a_part_that_another_machine_merged_while_it_was_open_is_looked_for_again(
    tmp_path, scratch, monkeypatch, reading, times
):
    parquet_parts.append(scratch, tmp_path / "rows", rows(("0007", 1)))
    left = refuse_reading(monkeypatch, errno.ESTALE, times)
    assert READINGS[reading](tmp_path / "rows")
    assert left == [0]


@pytest.mark.parametrize("after", [0, 1], ids=["while surveyed", "while read"])
def test_a_part_that_is_merged_before_it_is_read_is_looked_for_again(tmp_path, scratch, monkeypatch, after):
    parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    left = refuse_reading(monkeypatch, errno.ESTALE, 1, after)
    assert parquet_parts.read_surveyed(tmp_path / "rows", SCHEMA)["key"].to_pylist() == ["a"]
    assert left == [0]


def test_what_a_survey_finds_damaged_is_left_out(tmp_path, scratch):
    parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    damaged = parquet_parts.append(scratch, tmp_path / "rows", rows(("b", 2)))
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert parquet_parts.read_surveyed(tmp_path / "rows", SCHEMA)["key"].to_pylist() == ["a"]


def test_a_stale_handle_is_no_damage(tmp_path, scratch, monkeypatch):
    parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    refuse_reading(monkeypatch, errno.ESTALE, 1)
    assert parquet_parts.find_damaged(tmp_path / "rows", SCHEMA) == {}


def test_an_old_listing_of_a_network_disk_is_outwaited(tmp_path, scratch, monkeypatch):
    """It may show merged parts for a minute."""
    parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    clock, list_parts = [0.0], parquet_parts.list_parts
    monkeypatch.setattr(parquet_parts.time, "sleep", lambda seconds: clock.append(clock.pop() + seconds))
    monkeypatch.setattr(
        parquet_parts, "list_parts", lambda folder: ["part-1-gone.parquet"] if clock[0] < 60 else list_parts(folder)
    )
    assert read(tmp_path / "rows") == [("a", 1)]


def test_a_folder_that_never_comes_to_rest_is_given_up_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_parts.time, "sleep", lambda _: None)
    monkeypatch.setattr(parquet_parts, "list_parts", lambda _: ["part-1-gone.parquet"])
    with pytest.raises(StoreError, match="change faster than they can be read"):
        read(tmp_path / "rows")


@pytest.mark.parametrize("code", ["EIO", "EACCES", "ETIMEDOUT", "EMFILE"])
@pytest.mark.parametrize("reading", [*READINGS, "the search for damage"])
def test_what_the_disk_refuses_is_not_called_damaged(tmp_path, scratch, monkeypatch, code, reading):
    """Nobody is told to delete a part because the network failed, and no repair removes it."""
    parquet_parts.append(scratch, tmp_path / "rows", rows(("a", 1)))
    refuse_reading(monkeypatch, getattr(errno, code), 1)
    look = READINGS.get(reading, lambda folder: parquet_parts.find_damaged(folder, SCHEMA))
    with pytest.raises(StoreError, match=r"cannot be read \(.*\): check the disk") as raised:
        look(tmp_path / "rows")
    assert not isinstance(raised.value, DamagedFileError)
