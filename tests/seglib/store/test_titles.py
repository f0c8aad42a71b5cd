"""What runs are called: titles that people give, whatever signs are in them, and files that they cannot break."""

import json
from dataclasses import replace

import pytest

import seglib
from seglib.cli import main
from seglib.errors import UsageError
from seglib.maintenance import status as maintenance_status
from seglib.store.records import MAX_TITLE_LENGTH
from tests.reliability.hostile.names import NAMES
from tests.seglib.small_runs import INLINE, run

HARMFUL = [
    name for name in NAMES if not name.isprintable() and "\n" not in name and "\N{ZERO WIDTH JOINER}" not in name
]


def colours_of(images):
    """A model in memory: two classes by the first channel."""
    import torch

    return torch.cat([images[:, :1], -images[:, :1]], 1)


def call(capsys, *words: object) -> tuple[int, str, str]:
    code = main.main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_run_is_called_like_its_model_until_it_has_a_title(photos, store, fake):
    name = run(photos, store, fake).run
    assert store.run(name).display_title == "fake (fake)"  # a checkpoint of a file is not the published model
    before = store.run_record(name).read_bytes()
    store.set_title(store.run(name), "  Trained\tin\n May ")
    assert store.run(name).display_title == "Trained in May"
    assert store.run(name).run == name
    store.set_title(store.run(name), "")
    assert store.run(name).display_title == "fake"
    store.set_title(store.run(name), "fake (fake)")
    assert store.run_record(name).read_bytes() == before


@pytest.mark.parametrize("title", [*HARMFUL, "x" * (MAX_TITLE_LENGTH + 1), "x" * 10_000])
def test_what_would_turn_or_break_the_line_is_refused_and_nothing_changes(photos, store, fake, title, capsys):
    name = run(photos, store, fake).run
    before = store.run_record(name).read_bytes()
    with pytest.raises(UsageError):
        store.set_title(store.run(name), title)
    with pytest.raises(UsageError):
        run(photos, store, fake, title=title)
    code, out, err = call(capsys, "rename", name, title, "--store", store.path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert store.run_record(name).read_bytes() == before


@pytest.mark.parametrize(
    "title", ["\x1b[31mred\x1b[0m", "\u202egnp.cat", "a\nseglib: all is well", "x" * 10_000, "\x00"]
)
def test_a_title_that_was_written_by_hand_is_shown_without_harm(photos, store, fake, title, capsys):
    name = run(photos, store, fake).run
    store.write_run(replace(store.run(name), title=title))
    shown = store.run(name).display_title
    assert shown.isprintable()
    assert 0 < len(shown) <= MAX_TITLE_LENGTH
    code, out, _ = call(capsys, "status", "--store", store.path)
    assert code == 0
    assert all(line.isprintable() for line in out.splitlines())


def test_titles_on_the_command_line(photos, store, fake, capsys):
    name = run(photos, store, fake, title="Mine").run
    assert f"run {name} (Mine): 4 photos" in call(capsys, "status", "--store", store.path)[1]
    assert call(capsys, "rename", name, "Other", "--store", store.path)[1] == f"{name} is called Other\n"
    code, out, _ = call(capsys, "status", "--store", store.path, "--json")
    (entry,) = json.loads(out)["runs"]
    assert (code, entry["title"], entry["model"], entry["repeatable"]) == (0, "Other", "fake", True)
    code, _, err = call(capsys, "rename", "../store", "Other", "--store", store.path)
    assert (code, name in err) == (2, True)
    assert (
        call(capsys, "rename", name, "", "--store", store.path, "--json")[1]
        == f'{{"run": "{name}", "title": "fake"}}\n'
    )


def test_the_title_option_names_the_run_and_not_the_dataset(photos, tmp_path, capsys):
    words = ("run", photos, "--store", tmp_path / "s", "--workers", 0, "--resize", 32, "--title", "Mine")
    assert call(capsys, *words)[0] == 0
    store = seglib.open(tmp_path / "s")
    assert ([one.title for one in store.runs()], [one.name for one in store.datasets()]) == (["Mine"], ["photos"])


def test_a_run_that_nothing_identifies_is_marked(photos, store, capsys):
    local = 3
    report = seglib.run(photos, store, lambda x: colours_of(x) * local, classes=["dark", "light"], options=INLINE)
    (status,) = maintenance_status.read_status(store).runs
    assert (status.run, status.repeatable) == (report.run, False)
    assert "its model cannot be identified by a digest" in call(capsys, "status", "--store", store.path)[1]
