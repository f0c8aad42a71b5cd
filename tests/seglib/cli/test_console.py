"""Consoles that cannot show every name: each command ends as it does elsewhere, and what they lack is escaped."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import __main__ as launcher
from seglib.cli import main
from tests.conftest import ROOT, SAMPLE

FOLDER = "Kätzchen 狗"
BROKEN = "kaputt → \N{CAT FACE}.jpg"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("console")
    photos = folder / "photos" / FOLDER
    photos.mkdir(parents=True)
    (photos / "Müsli.jpg").write_bytes((SAMPLE / "cats" / "tabby.jpg").read_bytes())
    (photos / BROKEN).write_bytes(b"no picture")
    path = folder / "Ablage 狗"
    assert main.main(["run", str(folder / "photos"), "--store", str(path), "--workers", "0", "--resize", "64"]) == 0
    return path


@pytest.fixture(params=["ascii", "cp1252", "latin-1", "cp437", "shift_jis"])
def console(request, monkeypatch):
    """Opens a console with this encoding, which knows no escapes by itself."""

    def open_console() -> io.TextIOWrapper:
        stream = io.TextIOWrapper(io.BytesIO(), request.param, write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)  # in the test itself: pytest has its own before
        return stream

    return open_console


def printed(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode(stream.encoding)


def escaped(name: str, stream: io.TextIOWrapper) -> str:
    return name.encode(stream.encoding, "backslashreplace").decode(stream.encoding)


def test_every_command_ends_and_escapes_what_the_console_lacks(store, console, tmp_path):
    stream, photos = console(), store.parent / "photos"
    for arguments in (
        ["status"],
        ["tag", "狗 Müsli", "--where", ""],
        ["export", "stats", "--out", str(tmp_path / "狗.csv")],
        ["run", str(photos), "--resize", "64", "--name", "狗 Müsli"],
        ["prune"],
    ):
        assert main.main([*arguments, "--store", str(store)]) == 0
    assert main.main(["predict", str(photos / FOLDER / "Müsli.jpg"), "--out", str(tmp_path / "狗")]) == 0
    for name in (BROKEN, "狗 Müsli", "Ablage 狗"):
        assert escaped(name, stream) in printed(stream)


def test_lines_of_json_are_read_back_as_they_are(store, console):
    stream = console()
    assert main.main(["status", "--store", str(store), "--json"]) == 0
    found = json.loads(printed(stream))
    assert [row["path"] for row in found["failures"]] == [f"{FOLDER}/{BROKEN}"]


def test_the_dashboards_launcher_prints_names_too(console, tmp_path, monkeypatch):
    folder = tmp_path / "狗 Müsli" / launcher.SUGGESTED_FOLDER
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    report = {"computed": 13, "seconds": 1.0, "model": "net", "images_per_second": 2.0}
    monkeypatch.setattr(launcher, "run_sample", lambda _: [report])
    monkeypatch.setattr(launcher, "_check_address", lambda *_: None)
    monkeypatch.setattr(launcher, "_serve", lambda *_: 0)
    stream = console()
    assert launcher.main(["--store", str(tmp_path / "s"), "--data", str(folder.parent)]) == 0
    assert escaped("狗 Müsli", stream) in printed(stream)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "computed"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 1),
        ({"LC_ALL": "POSIX"}, 0),
        ({"PYTHONIOENCODING": "cp1252"}, 0),
        ({"PYTHONIOENCODING": "ascii:strict"}, 0),
    ],
)
def test_in_any_locale_photos_are_found_under_their_names(store, tmp_path, settings, computed):
    """Where a locale has no UTF-8, Python would look for other bytes than those that name the file.

    Into a new store, or into one that knows the photos by their names in UTF-8, which needs no torch.
    """
    if not computed:
        shutil.copytree(store, tmp_path / "狗")
    command = [sys.executable, "-m", "seglib", "run", store.parent / "photos", "--resize", "64", "--workers", "0"]
    done = subprocess.run(
        [*command, "--store", tmp_path / "狗", "--json"],
        env={**os.environ, **settings},
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    expected = {"images": 2, "computed": computed, "reused": 1 - computed, "failed": 1}
    assert json.loads(done.stdout).items() >= expected.items()
    assert b"Traceback" not in done.stderr
