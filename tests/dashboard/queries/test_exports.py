"""What leaves from a page is what leaves from the shell."""

import io

import pandas as pd
import pytest

from dashboard.queries import exports
from seglib.cli import main
from seglib.query.filters import Filters
from tests.dashboard.conftest import make_run_config

RUN = make_run_config().run_name


@pytest.mark.parametrize("where", ["", "agreement=contradicts", "label=&path=img"])
def test_the_list_of_a_local_page_is_the_commands(full, monkeypatch, tmp_path, where):
    monkeypatch.setenv("SEGLIB_DASHBOARD_LOCAL", "1")
    out = tmp_path / "list.csv"
    command = ["export", "list", "--store", str(full), "--where", where, "--out", str(out)]
    assert main.main(command) == 0
    listed = exports.export_list(full, RUN, Filters.decode(where))
    assert listed == out.read_bytes()
    frame = pd.read_csv(io.BytesIO(listed))
    assert frame["full path"].tolist() == [str(full.parent / "photos" / path) for path in frame["path"]]


def test_a_page_that_others_can_reach_names_no_folder_of_this_machine(full):
    listed = exports.export_list(full, RUN, Filters())
    assert listed.decode().splitlines()[0] == "path,dataset,folder,seen,share,confidence,agreement,tags"
    assert str(full.parent) not in listed.decode()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_everything_is_what_the_command_writes(full, tmp_path, kind):
    out = tmp_path / f"stats.{kind}"
    command = ["export", "stats", "--store", str(full), "--format", kind, "--where", "label=cats", "--out", str(out)]
    assert main.main(command) == 0
    assert exports.export_rows(full, RUN, Filters.decode("label=cats"), kind) == out.read_bytes()


def test_a_list_is_about_one_run(full, tmp_path, capsys):
    from tests.dashboard.conftest import fill_store

    fill_store(full, code_schema=2)
    command = ["export", "list", "--store", str(full), "--out", str(tmp_path / "list.csv")]
    assert main.main(command) == 2
    assert "A list is about one run, and there are 2: name one with --run." in capsys.readouterr().err
    assert main.main([*command, "--run", RUN]) == 0
