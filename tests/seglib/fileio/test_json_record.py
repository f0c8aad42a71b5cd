import errno
import json
import os
from pathlib import Path

import pytest

from seglib.errors import DamagedFileError, StoreError
from seglib.fileio import json_record

VALUE = {"name": "Ödön", "root": "/photos/a b", "classes": ["cat", "dog"], "seconds": 1.25, "nothing": None}


def test_what_is_written_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(json_record.encode(VALUE | {"classes": ("cat", "dog")}))
    assert json_record.read(tmp_path / "a.json", "") == VALUE


def test_every_flipped_bit_is_found_or_changes_nothing(tmp_path):
    whole = json_record.encode(VALUE)
    for at in range(len(whole) * 8):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        (tmp_path / "a.json").write_bytes(data)
        try:
            found = json_record.read(tmp_path / "a.json", "do this")
        except DamagedFileError:
            continue
        found.pop(next(iter(found.keys() - VALUE.keys()), ""), None)  # the checksum under another name
        assert found == VALUE


def test_a_record_without_a_checksum_is_taken_as_it_is(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(VALUE))
    assert json_record.read(tmp_path / "a.json", "") == VALUE


def test_a_name_that_is_no_utf8_survives(tmp_path):
    (tmp_path / "a.json").write_bytes(json_record.encode({"root": "/caf\udce9"}))
    assert json_record.read(tmp_path / "a.json", "") == {"root": "/caf\udce9"}


def test_a_newer_layout_is_said_to_be_one(tmp_path):
    (tmp_path / "a.json").write_bytes(json_record.encode({"schema": 1}).replace(b'"schema": 1', b'"schema": 9'))
    with pytest.raises(DamagedFileError, match="newer version \\(layout 9\\)"):
        json_record.read(tmp_path / "a.json", "")


def refuse_reading(monkeypatch, code: str, times: int) -> None:
    left, read_bytes = [times], Path.read_bytes

    def read(path: Path) -> bytes:
        if left[0]:
            left[0] -= 1
            number = getattr(errno, code)
            raise OSError(number, os.strerror(number))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)


def test_a_record_that_another_machine_replaces_while_it_is_open_is_read_again(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_bytes(json_record.encode(VALUE))
    refuse_reading(monkeypatch, "ESTALE", 2)
    assert json_record.read(tmp_path / "a.json", "") == VALUE


@pytest.mark.parametrize("code", ["EIO", "EACCES", "ETIMEDOUT", "ESTALE"])
def test_what_the_disk_refuses_is_not_called_damaged(tmp_path, monkeypatch, code):
    (tmp_path / "a.json").write_bytes(json_record.encode(VALUE))
    refuse_reading(monkeypatch, code, 100)
    with pytest.raises(StoreError, match=r"a\.json cannot be read \(.*\): check the disk") as raised:
        json_record.read(tmp_path / "a.json", "do this")
    assert not isinstance(raised.value, DamagedFileError)
