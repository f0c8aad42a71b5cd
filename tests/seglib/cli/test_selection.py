"""`--where` with expressions, `--view`, and `seglib view`."""

import json

import pandas as pd
import pytest

from seglib.cli import main
from tests.seglib.small_runs import run


@pytest.fixture
def seglib(photos, store, fake, capsys, tmp_path):
    """Run a command on a store with one run over four photos, cats/a.png to dogs/d.png -> (code, stdout, stderr)."""
    run(photos, store, fake)
    capsys.readouterr()

    def call(*words: str) -> tuple[int, str, str]:
        code = main.main([*words, "--store", str(store.path)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def exported(seglib, tmp_path):
    def paths(*words: str) -> str:
        out = tmp_path / "rows.csv"
        code, _, said = seglib("export", "stats", "--out", str(out), *words)
        assert code == 0, said
        return " ".join(pd.read_csv(out)["path"])

    return paths


def test_an_expression_chooses_photos_as_the_urls_filters_do(exported):
    assert exported("--where", "label=cats&path=a.png") == "cats/a.png"
    assert exported("--where", "label = cats and path contains a.") == "cats/a.png"
    assert exported("--where", "not label = cats or path = 'cats/b.png'") == "cats/b.png dogs/c.png dogs/d.png"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("lable = cats", "At 'lable' (column 1): there is no field of this name; did you mean label?"),
        ("label = cats and", "At the end (column 17): a condition is expected"),
        ("label=cats or width>3", "for the expression"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(seglib, tmp_path, where, message):
    code, out, said = seglib("export", "stats", "--out", str(tmp_path / "x.csv"), "--where", where)
    assert (code, out) == (2, "")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x.csv").exists()


def test_a_name_that_no_photo_has_is_noted(seglib, tmp_path):
    code, _, said = seglib("export", "stats", "--out", str(tmp_path / "x.csv"), "--where", "label = dgos")
    assert code == 0
    assert "No photo has label = dgos; did you mean dogs?" in said
    assert "did you mean cats?" in seglib("tag", "x", "--where", "label = catz")[2]


def test_a_view_is_saved_listed_renamed_and_deleted(seglib):
    assert seglib("view", "list") == (0, "no saved views\n", "")
    code, out, _ = seglib("view", "save", "my cats", "--where", "label = cats", "--description", "for me")
    assert code == 0
    assert out.startswith("my cats saved: 2 photos of ")
    assert seglib("view", "save", "My Cats", "--where", "label = dogs")[0] == 2
    assert seglib("view", "save", "My Cats", "--where", "label = dogs", "--replace")[0] == 0
    (view,) = map(json.loads, seglib("view", "list", "--json")[1].splitlines())
    assert (view["name"], view["where"], view["page"]) == ("My Cats", "where=label%20%3D%20dogs", "Explore")
    assert seglib("view", "rename", "my cats", "dogs")[1].startswith("dogs: label = dogs, of ")
    assert seglib("view", "delete", "cats")[2] == "seglib: There is no view 'cats'; known are: dogs.\n"
    assert seglib("view", "delete", "dogs")[0] == 0
    assert seglib("view", "list") == (0, "no saved views\n", "")


def test_a_view_with_a_mistake_is_not_saved(seglib):
    for where in ("lable = cats", "", "path="):
        assert seglib("view", "save", "x", "--where", where)[0] == 2
    assert seglib("view", "list")[1] == "no saved views\n"


def test_where_chooses_a_part_of_a_view(seglib, exported):
    assert seglib("view", "save", "cats", "--where", "label=cats")[0] == 0
    assert exported("--view", "CATS") == "cats/a.png cats/b.png"
    assert exported("--view", "cats", "--where", "path = 'cats/b.png'") == "cats/b.png"
    assert seglib("tag", "seen", "--view", "cats")[1] == "2 photos have got the tag seen\n"
    code, _, said = seglib("export", "stats", "--out", "x.csv", "--view", "cats", "--where", "label=dogs")
    assert code == 2
    assert "both have label" in said
    assert exported("--view", "cats", "--where", "label = dogs or tag = seen") == "cats/a.png cats/b.png"


def test_a_view_of_a_run_that_is_gone_says_so(seglib, store):
    assert seglib("view", "save", "cats", "--where", "label=cats")[0] == 0
    assert seglib("prune", "--run", store.runs()[0].run)[0] == 0
    code, _, said = seglib("export", "stats", "--out", "x.csv", "--view", "cats")
    assert code == 2
    assert "There is no run" in said
