"""A job's log as a page shows it: the last part, plain text, and no path that says where things lie."""

import os
from pathlib import Path

import pytest

from dashboard.settings import ServerSettings
from dashboard.workers import job_log
from seglib.errors import SegError

JOB = "0123456789ab"


@pytest.fixture
def log(tmp_path):
    """The log file of a job."""
    file = tmp_path / "my store" / "jobs" / JOB / "log.txt"
    file.parent.mkdir(parents=True)
    return file


def read(log: Path, *more: int, local: bool = False) -> str:
    store = log.parents[2]
    settings = ServerSettings(store=store, photo_folders=(store.parent / "my photos",), local_only=local)
    return job_log.read_log(settings, log.parent.name, *more)


def test_a_missing_log_is_a_sentence(log):
    with pytest.raises(SegError, match="cannot be read"):
        read(log)
    with pytest.raises(SegError, match="no such job"):
        read(log.parents[1] / ".." / "log.txt")


def test_of_a_huge_log_whole_lines_of_its_end_are_read(log):
    log.write_bytes(b"".join(b"line %06d\n" % number for number in range(100_000)))
    text = read(log, 1000)
    first, *lines = text.splitlines()
    assert first == "(The first 1.2 MB are left out.)"
    assert lines[0].startswith("line 0999")
    assert lines[-1] == "line 099999"
    assert len(text) < 1100
    log.write_bytes(b"x" * 10_000)  # one long line
    assert read(log, 1000).endswith("x" * 1000)


def test_a_binary_log_is_shown_without_controls(log):
    log.write_bytes(bytes(range(256)) * 4)
    assert all(sign.isprintable() or sign in "\n\t" for sign in read(log))


def test_of_a_line_that_was_overwritten_the_last_version_is_shown(log):
    log.write_bytes(b"\x1b[31m10 %\r50 %\r100 %\x1b[0m\r\ndone\n")
    assert read(log) == "100 %\ndone\n"


def test_paths_are_shown_on_this_machine_only(log, tmp_path):
    paths = [log.parents[2] / "runs", tmp_path / "my photos" / "cats" / "a.jpg", Path.home() / "x y" / "secret.py"]
    log.write_text("\n".join(f'File "{path}", line 3' for path in paths))
    shown = read(log)
    assert str(tmp_path) not in shown
    assert str(Path.home()) not in shown
    assert "a.jpg" in shown
    assert read(log, local=True) == log.read_text()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no way to tell here")
def test_a_link_is_not_followed(log, tmp_path):
    (tmp_path / "secret").write_text("secret")
    log.symlink_to(tmp_path / "secret")
    with pytest.raises(SegError, match="cannot be read"):
        read(log)
    log.unlink()
    log.mkdir()
    with pytest.raises(SegError, match="cannot be read"):
        read(log)
