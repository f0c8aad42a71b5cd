"""`seglib columns`: what it prints, its exit codes and its JSON; reading itself is tested in `store/own_columns`."""

import json

import pytest

from seglib.cli import main
from tests.seglib.cli.test_main import call, sentence
from tests.seglib.store.own_columns.plain_store import PATHS, add_dataset, add_run

CSV = "path;iso;gain;note\ncats/a.jpg;100;1,5;=1+1\ncats/b.jpg;200;;NA\nz.jpg;1;1;x\n"


@pytest.fixture
def known(store, tmp_path):
    """The folder of a store with four photos, and a file about two of them."""
    add_dataset(store, tmp_path / "photos", PATHS)
    add_run(store, "fake-8-00000000", PATHS)
    (tmp_path / "class.csv").write_text(CSV, "utf-8")
    return store.path, tmp_path / "class.csv"


def records(capsys, *arguments) -> list[dict]:
    code, out, _ = call(capsys, *arguments, "--json")
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def test_a_file_is_looked_at_added_listed_removed_and_undone(known, capsys):
    path, file = known
    code, out, _ = call(capsys, "columns", "add", file, "--store", path, "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "2 photos would get columns from 3 rows of class.csv (path)",
        "  1 rows fit no photo and are left out, e.g. 'z.jpg'",
        "  iso: whole numbers, 2 different, 2 photos (100, 200)",
        "  gain: numbers, 1 different, 1 photos (1.5)",
        "  note: categories, 2 different, 2 photos (=1+1, NA)",
        "  The commas in 'gain' are read as decimal commas.",
        "  'NA' is a text in 'note': name it as --missing if it stands for no value.",
    ]
    assert records(capsys, "columns", "list", "--store", path) == []
    (report,) = records(capsys, "columns", "add", file, "--store", path, "--missing", "NA", "--column", "note")
    assert (report["photos"], report["unmatched"], report["columns"][0]["photos"]) == (2, 1, 1)
    assert records(capsys, "columns", "list", "--store", path) == [
        {"name": "note", "type": "category", "key": "path", "photos": 1, "sources": ["class.csv"]}
    ]
    assert call(capsys, "columns", "remove", "note", "--store", path)[1] == "removed note\n"
    assert records(capsys, "columns", "undo", "--store", path) == [{"undone": "remove", "columns": ["note"]}]
    assert call(capsys, "columns", "undo", "--store", path)[1] == "undone: addition of note\n"
    assert call(capsys, "columns", "undo", "--store", path)[1] == "nothing to undo\n"
    assert records(capsys, "columns", "undo", "--store", path) == [{"undone": None, "columns": []}]


def test_added_columns_are_in_status_exports_and_filters(known, capsys, tmp_path):
    path, file = known
    call(capsys, "columns", "add", file, "--store", path, "--type", "iso=category")
    assert "column iso: 2 photos" in call(capsys, "status", "--store", path)[1]
    out = tmp_path / "out.csv"
    where = "column.iso=200"
    call(capsys, "export", "stats", "--store", path, "--where", where, "--dictionary", "--out", out)
    head, row = out.read_text().splitlines()
    assert head.endswith("column:iso,column:gain,column:note,tags")
    assert row.endswith("200,,NA,")
    assert "column:gain" in out.with_name("out.dictionary.csv").read_text()
    assert call(capsys, "tag", "high", "--where", where, "--store", path)[1] == "1 photos have got the tag high\n"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("path,x\ncats/a.jpg,03/04/2024\n", [], "say --dates day-first or --dates month-first"),
        ("path,x\nz.jpg,1\n", ["--key", "path"], "None of the 1 rows fits a photo"),
        ("a,b\na,b\nb,a\n", [], "say which with --key and --key-column"),
        ("path,x\ncats/a.jpg,1\n", ["--column", "y"], "There is no column to add 'y'"),
        ("path,x,y\ncats/a.jpg,\xe4,1\n", [], "name its --encoding"),
    ],
)
def test_a_refusal_is_a_sentence_that_names_options(known, capsys, tmp_path, text, options, words):
    file = tmp_path / "bad.csv"
    file.write_bytes(text.encode("latin-1"))
    assert words in sentence(capsys, 2, "columns", "add", file, "--store", known[0], *options)


def test_a_type_that_does_not_exist_and_a_file_that_is_not_there(known, capsys):
    path, _ = known
    with pytest.raises(SystemExit):
        main.main(["columns", "add", "x.csv", "--store", str(path), "--type", "x=image"])
    assert "TYPE being one of integer, number" in capsys.readouterr().err
    assert "cannot be read (No such file" in sentence(capsys, 2, "columns", "add", "nowhere.csv", "--store", path)
