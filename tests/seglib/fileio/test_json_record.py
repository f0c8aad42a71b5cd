import json

import pytest

from seglib.errors import DamagedFileError
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
