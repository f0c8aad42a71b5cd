"""The launcher: arguments, the first analysis, and sentences instead of tracebacks."""

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import __main__ as launcher
from dashboard.settings import LOOPBACK_NAMES, ROOT, ServerSettings
from seglib.models.registry import DEFAULT_MODEL, MODELS
from tests.dashboard.conftest import fill_store


@pytest.fixture
def served(monkeypatch):
    """Calls of the server that was not started: (settings, host, port)."""
    calls: list[tuple[ServerSettings, str, int]] = []
    monkeypatch.setattr(launcher, "_serve", lambda *call: calls.append(call) or 0)
    return calls


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def no_analysis(monkeypatch):
    def refuse(_):
        raise AssertionError("nothing was to be analysed")

    monkeypatch.setattr(launcher, "run_sample", refuse)


def reports(images: float = 2.0) -> list[dict]:
    """Of two networks; the speed that counts is the second's, the default's."""
    first = {"computed": 13, "seconds": 1.5, "model": "other", "images_per_second": 100 * images}
    return [first, {"computed": 13, "seconds": 1.0, "model": "net", "images_per_second": images}]


def test_a_store_with_a_run_is_served_at_once(full, served, port, no_analysis):
    assert launcher.main(["--store", str(full), "--port", str(port)]) == 0
    ((settings, host, at),) = served
    assert (settings.store, host, at) == (full.resolve(), "127.0.0.1", port)


def test_an_empty_store_gets_a_demo_of_its_own_first(empty, served, port, monkeypatch, capsys):
    stores = []
    monkeypatch.setattr(launcher, "run_sample", lambda store: stores.append(store) or reports())
    assert launcher.main(["--store", str(empty), "--port", str(port)]) == 0
    assert stores == [empty.resolve() / "demo"]
    assert len(served) == 1
    assert "13 photos analysed in 2.5 s with other and net." in capsys.readouterr().out


def test_a_demo_that_is_there_is_not_made_again(empty, served, port, no_analysis):
    fill_store(empty / "demo")
    assert launcher.main(["--store", str(empty), "--port", str(port)]) == 0
    assert len(served) == 1


def test_folders_are_named_by_place_or_by_option_and_add_up(full, served, port, tmp_path, monkeypatch):
    for name in ("a", "b", "c: d"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    command = [str(tmp_path / "a"), str(tmp_path / "link"), "--store", str(full), "--port", str(port)]
    assert launcher.main([*command, "--data", str(tmp_path / "c: d"), "--data", str(tmp_path / "a")]) == 0
    settings = served[-1][0]
    assert settings.photo_folders == (tmp_path / "a", tmp_path / "b", tmp_path / "c: d")
    assert settings.folders_named
    assert ServerSettings.read(settings.to_environment()) == settings
    monkeypatch.chdir(tmp_path)
    assert launcher.main(["--store", str(full), "--port", str(port)]) == 0
    settings = served[-1][0]
    assert (settings.photo_folders, settings.folders_named) == ((tmp_path / "dataset",), False)
    assert ServerSettings.read(settings.to_environment()) == settings


def test_each_embedded_network_analyses_the_sample_and_the_default_is_used_last(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.extend(command)
        return subprocess.CompletedProcess(command, 0, '{"model": "a"}\n{"model": "b"}\n')

    monkeypatch.setattr(launcher.subprocess, "run", run)
    assert launcher.run_sample(tmp_path) == [{"model": "a"}, {"model": "b"}]
    named = [name for flag, name in itertools.pairwise(asked) if flag == "--model"]
    assert sorted(named) == sorted(spec.name for spec in MODELS.values() if spec.source == "embedded")
    assert named[-1] == DEFAULT_MODEL


def test_more_photos_are_offered_with_their_minutes(empty, served, port, monkeypatch, capsys, tmp_path):
    folder = tmp_path / "data" / "test_set" / "cats"
    folder.mkdir(parents=True)
    for number in range(241):
        (folder / f"{number}.jpg").touch()
    monkeypatch.setattr(launcher, "run_sample", lambda _: reports(images=2.0))
    launcher.main(["--store", str(empty), "--port", str(port), "--data", str(tmp_path / "data")])
    said = capsys.readouterr().out
    assert "241 photos in test_set; in at most about 3 min" in said
    assert f"python -m seglib run {folder.parent}" in said


@pytest.mark.slow
def test_a_failed_analysis_is_a_sentence(empty, served, port, monkeypatch, capfd):
    monkeypatch.setattr(launcher, "SAMPLE", empty)  # a folder without photos
    assert launcher.main(["--store", str(empty), "--port", str(port)]) == 0
    assert "there is no demo" in capfd.readouterr().err
    assert len(served) == 1


def test_without_the_sample_the_server_starts_all_the_same(empty, served, port, monkeypatch, tmp_path, no_analysis):
    monkeypatch.setattr(launcher, "SAMPLE", tmp_path / "gone")
    assert launcher.main(["--store", str(empty), "--port", str(port)]) == 0
    assert len(served) == 1


def test_a_taken_port_is_one_sentence(full, served, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert launcher.main(["--store", str(full), "--port", str(taken)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert served == []


@pytest.mark.parametrize(
    "arguments",
    [["--port", "0"], ["--port", "x"], ["--port", "65536"], ["--unknown"], ["--data"]],
)
def test_requests_that_make_no_sense_are_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        launcher.main(arguments)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--data", "/nowhere/at/all"], ["/nowhere/at/all"], ["--host", "no.such.host.invalid"], ["--host", "192.0.2.1"]],
)
def test_things_that_are_not_there_are_2(full, served, port, arguments, capsys):
    assert launcher.main(["--store", str(full), "--port", str(port), *arguments]) == 2
    assert capsys.readouterr().err.startswith("dashboard: ")


@pytest.mark.parametrize("state", ["newer"])
def test_a_store_that_cannot_be_read_is_a_sentence(request, state, served, port, capsys):
    path = request.getfixturevalue(state)
    assert launcher.main(["--store", str(path), "--port", str(port)]) == 1
    assert "layout 99" in capsys.readouterr().err


def test_a_damaged_run_does_not_keep_the_others_from_being_served(full, served, port):
    next(full.glob("runs/*/run.json")).write_text("{")
    assert launcher.main(["--store", str(full), "--port", str(port)]) == 0
    assert len(served) == 1


def test_opening_it_to_others_says_what_that_means(full, served, port, capsys):
    assert launcher.main(["--store", str(full), "--host", "0.0.0.0", "--port", str(port)]) == 0
    assert "no password" in capsys.readouterr().out
    assert launcher.main(["--store", str(full), "--port", str(port)]) == 0
    assert "no password" not in capsys.readouterr().out


def test_help_has_an_example_that_parses():
    import shlex

    epilog = launcher.parser().epilog
    assert epilog.startswith("example: python -m dashboard ")
    launcher.parser().parse_args(shlex.split(epilog)[4:])
    assert all(action.help for action in launcher.parser()._actions)
    assert "python -m dashboard report" in launcher.parser().description


@pytest.mark.slow
def test_help_needs_no_torch_and_works_from_anywhere(tmp_path):
    code = (
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); sys.argv = ['dashboard', '--help']\n"
        "try: runpy.run_module('dashboard', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules and 'streamlit' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT)], cwd=tmp_path, check=True, capture_output=True)


def test_settings_survive_the_environment(tmp_path):
    settings = ServerSettings(store=tmp_path / "a b", photo_folders=(tmp_path / "x", tmp_path / "y"), local_only=True)
    assert ServerSettings.read(settings.to_environment()) == settings
    by_hand = ServerSettings.read({"SEGLIB_DASHBOARD_DATA": os.pathsep.join(("/x", "/y"))})
    assert (by_hand.photo_folders, by_hand.folders_named) == ((Path("/x"), Path("/y")), True)
    assert ServerSettings.read({}) == ServerSettings(
        store=ServerSettings.read({}).store, photo_folders=(ROOT / "dataset",), folders_named=False
    )


def test_the_names_under_which_it_answers(full, served, port, no_analysis):
    for options, names, base in (
        ([], LOOPBACK_NAMES, ""),
        (["--allow-host", "Photos.example", "--base-path", "photos/"], (*LOOPBACK_NAMES, "photos.example"), "/photos"),
        (["--base-path", "photos"], LOOPBACK_NAMES, "/photos"),
        (["--host", "0.0.0.0"], (), ""),
        (["--host", "0.0.0.0", "--allow-host", "a.example"], (*LOOPBACK_NAMES, "a.example"), ""),
    ):
        assert launcher.main(["--store", str(full), "--port", str(port), *options]) == 0
        settings = served[-1][0]
        assert (settings.host_names, settings.base_path) == (names, base)
        assert settings.local_only is not bool(options)
        assert ServerSettings.read(settings.to_environment()) == settings


@pytest.mark.parametrize("path", ["a b", "//x", "/../x", "http://x"])
def test_a_base_path_is_a_path(path, capsys):
    with pytest.raises(SystemExit):
        launcher.main(["--base-path", path])
    assert "expected a path such as /photos" in capsys.readouterr().err


def test_models_are_offered_by_absolute_paths_and_only_if_they_are_there(
    full, served, port, no_analysis, tmp_path, capsys
):
    (tmp_path / "nets").mkdir()
    command = ["--store", str(full), "--port", str(port)]
    assert launcher.main([*command, "--models", str(tmp_path / "nets"), "--models", "package.module:factory"]) == 0
    ((settings, _, _),) = served
    assert settings.models == (str(tmp_path / "nets"), "package.module:factory")
    assert ServerSettings.read(settings.to_environment()).models == settings.models
    assert launcher.main([*command, "--models", str(tmp_path / "none")]) == 2
    assert "name a folder of models with --models" in capsys.readouterr().err
    assert len(served) == 1


def test_a_store_on_object_storage_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert launcher.main(["--store", "s3://photos/store"]) == 2
    assert "A store lies in a folder, not on object storage" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_seglib_dashboard_is_the_same_program():
    shown = [
        subprocess.run(
            [sys.executable, *command, "--help"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for command in (["-m", "dashboard"], ["-m", "seglib", "dashboard"])
    ]
    assert shown[0] == shown[1]
    assert "--allow-host" in shown[0]
