"""Names that people give: labels in the names of photos, lists of names, filters by name."""

import json
from pathlib import Path

import pandas as pd

from tests.conftest import SAMPLE
from tests.seglib.cli.test_main import call, sentence


def test_labels_in_names_are_offered_and_taken(tmp_path, capsys):
    photos = tmp_path / "train"
    photos.mkdir()
    for name in ("cats/tabby.jpg", "cats/siamese.jpg", "dogs/dog_bicycle_car.jpg", "dogs/german_shepherd.webp"):
        data = (SAMPLE / name).read_bytes()
        (photos / f"{name[:3]}.{len(data)}{Path(name).suffix}").write_bytes(data)
    run = ("run", photos, "--store", tmp_path / "s", "--workers", 0, "--resize", "32")
    code, _, err = call(capsys, *run)
    assert code == 0
    assert "begin with 'cat' (2), 'dog' (2): set --label-from to name to take these words as labels." in err
    code, out, err = call(capsys, *run, "--label-from", "name")
    assert (code, err, "0 computed, 4 reused" in out) == (0, "", True)
    out = tmp_path / "cats.csv"
    assert call(capsys, "export", "stats", "--where", "label=cat", "--out", out, "--store", tmp_path / "s")[0] == 0
    assert len(pd.read_csv(out)) == 2


def test_lists_may_be_written_by_windows(tmp_path, capsys):
    (tmp_path / "list.txt").write_bytes("cats/tabby.jpg\r\n\r\nsiamese\r\n".encode("utf-16"))
    run = ("run", SAMPLE, "--store", tmp_path / "s", "--workers", 0, "--resize", "32", "--json")
    code, out, _ = call(capsys, *run, "--list", tmp_path / "list.txt")
    assert (code, json.loads(out)["images"]) == (0, 2)
    (tmp_path / "list.txt").write_bytes("Kätzchen.jpg".encode("latin-1"))
    assert "save it as UTF-8" in sentence(capsys, 2, *run, "--list", tmp_path / "list.txt")


def test_an_empty_selection_says_how_a_plus_sign_is_read(tmp_path, capsys):
    assert call(capsys, "run", SAMPLE, "--store", tmp_path / "s", "--workers", 0, "--resize", "32")[0] == 0
    out = ("--store", tmp_path / "s", "--out", tmp_path / "s.csv")
    for where, said in (("label=a+b", "write %2B for a plus sign"), ("label=cats", ""), ("label=birds", "")):
        code, _, err = call(capsys, "export", "stats", *out, "--where", where)
        assert code == 0
        assert said in err
        assert bool(err) == bool(said)
