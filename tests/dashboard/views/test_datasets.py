"""A folder that is gone is said on every page; on this machine one can say there where it is, and remove it on Runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.offers import photo_folders
from dashboard.settings import ServerSettings
from dashboard.state import pages
from dashboard.views import datasets as datasets_view
from dashboard.views.runs import actions
from seglib.store import content
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.views.test_pages import html, opened, said

PAGES = ["Overview", "Explore", "Image", "Similar", "Compare", "Evaluate", "Try", "Runs"]
GONE = "The folder photos is gone: its photos cannot be opened"


@pytest.fixture
def gone(real: Path, monkeypatch) -> Path:
    """A store whose photos have moved from `photos` to `elsewhere`, seen from this machine."""
    (real.parent / "photos").rename(real.parent / "elsewhere")
    be_local(monkeypatch, True)
    return real


def be_local(monkeypatch, local: bool) -> None:
    for name, value in replace(ServerSettings.read(), local_only=local).to_environment().items():
        monkeypatch.setenv(name, value)


def plain(app) -> str:
    return said(app).replace("\\", "")


def dataset_id(store: Path) -> str:
    return Store(store).datasets()[0].id


def choose(app, store: Path, folder: object):
    app.text_input(key=f"moved:{dataset_id(store)}").set_value(str(folder))
    return app.button(key=f"use:{dataset_id(store)}").click().run()


def test_all_pages_are_looked_at():
    assert sorted(PAGES) == sorted(value for name, value in vars(pages).items() if name.isupper())


@pytest.mark.parametrize("page", PAGES)
def test_a_folder_that_is_gone_is_said_on_every_page(gone, page):
    app = opened(page)
    assert not app.exception
    assert app.title[0].value.replace("\\", "") == ("cats/a.jpg" if page == pages.IMAGE else page)
    assert GONE in plain(app)


def test_a_folder_that_is_there_is_not_mentioned(real):
    assert "is gone" not in said(opened("Overview"))


def test_after_the_new_folder_is_chosen_all_is_as_before(gone):
    app = choose(opened("Explore"), gone, gone.parent / "elsewhere")
    assert not app.exception
    assert "6 of 7 files of photos are in elsewhere." in plain(app)
    assert "is gone" not in said(app.run())
    (dataset,) = Store(gone).datasets()
    assert (dataset.name, dataset.root) == ("photos", gone.parent / "elsewhere")


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("", "Type the whole path"),
        ("elsewhere", "Type the whole path"),
        ("/nowhere/at/all", "is not a folder"),
        ("{parent}", "Only 0 of the 7 files"),
    ],
)
def test_another_folder_is_refused_in_a_sentence_and_nothing_changes(gone, folder, sentence):
    app = choose(opened("Overview"), gone, folder.format(parent=gone.parent))
    assert not app.exception
    assert sentence in plain(app)
    assert GONE in plain(app)
    assert Store(gone).datasets()[0].root == gone.parent / "photos"


def test_elsewhere_no_path_is_taken_nor_shown(gone, monkeypatch):
    be_local(monkeypatch, False)
    for page in PAGES:
        app = opened(page)
        assert GONE in plain(app)
        assert f"python -m seglib dataset move {dataset_id(gone)} FOLDER" in plain(app)
        assert str(gone.parent) not in plain(app)
        assert not [one for one in app.text_input if "moved" in str(one.key)]


def test_a_data_set_is_removed_from_the_store_and_its_photos_stay(real):
    fill_store(real, folder="again", pixels={"cats/a.jpg": {"cat": 50}}, real=True)
    again = next(one for one in Store(real).datasets() if one.name == "again")
    app = opened("Runs")
    assert "photos also in another dataset" in html(app)
    app.button(key=f"forget:{again.id}").click().run()
    assert "leave every page and export" in plain(app)
    app.button(key="forget").click().run()
    assert not app.exception
    assert [one.name for one in Store(real).datasets()] == ["photos"]
    assert (real.parent / "again" / "cats" / "a.jpg").exists()
    assert again.id not in " ".join(str(button.key) for button in app.button)


def test_a_run_can_be_repeated_on_a_folder_that_moved(gone, monkeypatch):
    choose(opened("Overview"), gone, gone.parent / "elsewhere")
    store = Store(gone)
    run = store.run(make_run_config().run_name)
    store.record_invocation(run, {"started": run.created, "dataset": dataset_id(gone), "seconds": 1.0})
    settings = replace(ServerSettings.read(), photo_folders=(gone.parent / "elsewhere",))
    spec = type("Spec", (), {"sha256": "0" * 64})
    monkeypatch.setitem(actions.MODELS, run.model, spec)
    (request,), why_not = actions.rerun_requests(settings, store, store.run(run.run))
    assert why_not == ""
    assert photo_folders.get_folder(settings.photo_folders, request.folder).path == gone.parent / "elsewhere"


def test_photos_of_two_data_sets_are_counted_once_and_the_pages_say_so(real):
    fill_store(real, folder="again", real=True)
    app = opened("Explore")
    assert "photos of 6" in html(app)
    assert "6 photos are in several datasets (again, photos): each is counted once." in plain(app)
    assert "12 files of 6 photos" in plain(app)


# --- which class each label names ---


def label_dialog(store: Path):
    return opened("Runs").button(key=f"labels:{dataset_id(store)}").click().run()


def test_the_labels_of_a_dataset_are_shown_with_the_classes_that_they_name(full):
    shown = html(label_dialog(full))
    for cells in (("cats", "3", "cat", "itself"), ("dogs", "2", "dog", "itself"), ("others", "1", "–", "itself")):
        first, *rest = cells
        assert f"<th scope='row'>{first}</th>{''.join(f'<td>{text}</td>' for text in rest)}" in shown.replace("—", "–")


def name_label(store: Path, name: str) -> None:
    """Give the first label, cats, a class. The test driver closes a dialog after one step."""
    app = label_dialog(store)
    app.selectbox(key="labels:class:cats").set_value(name)
    app.button(key="labels:save").click().run()
    assert not app.exception


def test_a_label_can_be_given_another_class_and_back(full):
    assert "<b>3</b> of 5" in html(opened("Overview"))  # of folders that name a class
    name_label(full, "person")
    (dataset,) = Store(full).datasets()
    assert content.read_label_map(Store(full), dataset) == {"cats": "person"}
    assert "<td>person</td><td>the label map</td>" in html(label_dialog(full))
    assert Store(full).table().set_index("path").loc["cats/c.jpg", ["content", "label_class"]].tolist() == [
        "cat",
        "person",
    ]
    assert "<b>1</b> of 5" in html(opened("Overview"))
    name_label(full, datasets_view._NO_CLASS)
    assert content.read_label_map(Store(full), dataset) == {"cats": ""}
    assert "<b>1</b> of 2" in html(opened("Overview"))
    name_label(full, datasets_view._BY_ITSELF)
    assert content.read_label_map(Store(full), dataset) == {}


def test_a_damaged_label_map_can_be_removed(full):
    store = Store(full)
    file = store.label_map_record(store.datasets()[0].id)
    file.write_text("{")
    assert "labels.json is damaged" in said(opened("Overview")).replace("\\", "")
    app = label_dialog(full)
    assert "labels.json is damaged" in app.error[0].value.replace("\\", "")
    app.button(key="labels:reset").click().run()
    assert not file.exists()
    assert "<td>cat</td>" in html(label_dialog(full))
