"""`seglib dataset` and what `status` and `run` say of folders that moved: sentences, exit codes, JSON."""

import json
import shlex

import pytest

from tests.seglib.cli.test_main import call, sentence
from tests.seglib.small_runs import run


@pytest.fixture
def moved(photos, store, fake):
    """The store beside photos that have moved from `photos` to `elsewhere/photos`; (store, old, new)."""
    run(photos, store, fake)
    new = photos.with_name("elsewhere") / "photos"
    new.parent.mkdir()
    photos.rename(new)
    return store.path, photos, new


def test_the_list_names_folders_and_those_that_are_gone(moved, store, capsys):
    path, old, new = moved
    assert call(capsys, "dataset", "list", "--store", path)[1].endswith(f"4 files in {old}, which is gone\n")
    call(capsys, "dataset", "move", old, new, "--store", path)
    assert call(capsys, "dataset", "list", "--store", path)[1].endswith(f"4 files in {new}\n")
    (entry,) = [json.loads(line) for line in call(capsys, "dataset", "list", "--store", path, "--json")[1].splitlines()]
    assert entry == {
        "id": store.datasets()[0].id,
        "dataset": "photos",
        "root": str(new),
        "available": True,
        "files": 4,
        "shared": 0,
    }


def test_status_names_the_command_that_helps_and_it_does(moved, capsys):
    path, _, new = moved
    code, out, _ = call(capsys, "status", "--store", path)
    assert code == 0
    assert "The folder of photos is gone" in out
    (line,) = [line for line in out.splitlines() if "dataset move" in line]
    command = shlex.split(line.replace("NEW", str(new)))[3:]
    assert call(capsys, *command) == (0, f"photos: 4 of 4 files are in {new}, which is its folder now\n", "")
    assert "gone" not in call(capsys, "status", "--store", path)[1]


def test_status_as_json_says_how_folders_differ(moved, capsys):
    (drift,) = json.loads(call(capsys, "status", "--store", moved[0], "--json")[1])["drift"]
    expected = {"available": False, "exists": False, "new": 0, "changed": 0, "touched": 0, "vanished": 4, "why": ""}
    assert drift == {"dataset": "photos", **expected}


def test_what_cannot_be_moved_is_a_sentence(moved, tmp_path, capsys):
    path, old, _ = moved
    assert "Only 0 of the 4 files" in sentence(capsys, 1, "dataset", "move", old, tmp_path, "--store", path)
    assert "is not a folder" in sentence(capsys, 1, "dataset", "move", old, tmp_path / "x", "--store", path)
    assert "known are: photos" in sentence(capsys, 2, "dataset", "move", "pets", tmp_path, "--store", path)
    assert "known are: photos" in sentence(capsys, 2, "dataset", "forget", "pets", "--store", path)
    assert call(capsys, "dataset", "--store", path)[0] == 2


def test_photos_in_two_datasets_are_said_and_one_can_be_forgotten(moved, store, fake, capsys):
    path, old, new = moved
    (new / "cats" / "a.png").unlink()  # not all of the photos: offered, not taken
    run(new, store, fake)
    assert (
        "3 photos are in several datasets: figures count each of them once"
        in call(capsys, "status", "--store", path)[1]
    )
    _, out, err = call(capsys, "export", "stats", "--store", path, "--out", new.parent / "stats.csv")
    assert out.startswith("7 rows written")
    assert "3 photos are in several datasets (photos, photos-" in err
    assert err.endswith("each has a row for each of them.\n")
    code, out, _ = call(capsys, "dataset", "forget", old, "--store", path)
    assert code == 0
    assert out.startswith("photos: 4 files have left the table; no photo was touched\n  1 photo is in no other")
    report = json.loads(call(capsys, "dataset", "forget", new, "--store", path, "--json")[1])
    assert (report["files"], report["images"]) == (3, 3)
    assert store.datasets() == []
