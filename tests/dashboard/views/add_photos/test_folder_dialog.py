"""Choosing a folder of this machine in the page, and that it cannot be done from elsewhere."""

from dataclasses import replace

import pytest

from dashboard.offers import remembered_folders
from dashboard.offers.photo_folders import describe_path
from dashboard.queries import source
from dashboard.settings import ServerSettings
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import RunRequest
from seglib.errors import UsageError
from tests.dashboard.views.test_pages import opened, said
from tests.dashboard.views.test_runs import _init_quiet


@pytest.fixture
def home(tmp_path, serve, monkeypatch):
    """A home with photos, a server without any that only this machine can reach, and workers that do nothing."""
    source.look_again()
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    for name in ("Pictures/class/cats/1.jpg", "Pictures/class/2.jpg", ".hidden/3.jpg"):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    serve(tmp_path / "store")
    make_local(monkeypatch)
    return tmp_path / "home"


def make_local(monkeypatch, local: bool = True) -> None:
    for name, value in replace(ServerSettings.read(), local_only=local).to_environment().items():
        monkeypatch.setenv(name, value)


def plain(app) -> str:
    return said(app).replace("\\", "")


def key_of(path) -> str:
    return f"folder:enter:{describe_path(path, '').id}"


def enter(app, path):
    return app.button(key=key_of(path)).click().run()


def test_a_folder_is_chosen_by_clicking_and_remembered(home):
    app = opened("Runs")
    app.button(key="folder:open").click().run()
    assert "**~**" in plain(app)
    assert [button.label for button in app.button if button.key.startswith("folder:enter:")] == ["Pictures · 2 photos"]
    enter(app, home / "Pictures")
    enter(app, home / "Pictures" / "class")
    assert "**~/Pictures/class**" in plain(app)
    app.button(key="folder:use").click().run()
    assert not app.exception
    assert app.selectbox(key="start:folder").value == describe_path(home / "Pictures" / "class", "").id
    assert app.selectbox(key="start:folder").options == ["class", "class/cats"]
    assert "2 photos in class (~/Pictures/class)" in plain(app)
    app.button(key="start").click().run()
    (job,) = Jobs(ServerSettings.read()).all()
    assert job.request.title == "class"
    assert str(home) not in next((ServerSettings.read().store / "jobs").glob("*/request.json")).read_text()
    assert opened("Runs").selectbox(key="start:folder").options == ["class", "class/cats"]


def test_clicking_never_leads_above_home_and_typing_does(home, tmp_path):
    (tmp_path / "outside" / "set").mkdir(parents=True)
    (tmp_path / "outside" / "set" / "1.jpg").write_bytes(b"x")
    app = opened("Runs")
    app.button(key="folder:open").click().run()
    assert app.button(key="folder:up").disabled
    enter(app, home / "Pictures")
    assert not app.button(key="folder:up").disabled
    app.button(key="folder:up").click().run()
    app.text_input(key="folder:typed").set_value("pictures").run()
    assert "Type the whole path" in said(app)
    app.text_input(key="folder:typed").set_value(str(tmp_path / "gone")).run()
    assert "no folder 'gone'" in plain(app)
    app.text_input(key="folder:typed").set_value(str(tmp_path / "outside")).run()
    assert app.button(key="folder:up").disabled
    enter(app, tmp_path / "outside" / "set")
    app.button(key="folder:up").click().run()
    assert app.button(key="folder:up").disabled
    app.button(key="folder:use").click().run()
    assert remembered_folders.find(ServerSettings.read()) == (tmp_path / "outside",)


def test_a_path_typed_just_before_the_click_is_what_is_used(home):
    app = opened("Runs")
    app.button(key="folder:open").click().run()
    app.text_input(key="folder:typed").set_value("~/Pictures/class/cats")
    app.button(key="folder:use").click().run()  # both reach the server at once
    assert remembered_folders.find(ServerSettings.read()) == (home / "Pictures" / "class" / "cats",)
    app.button(key="folder:open").click().run()
    app.text_input(key="folder:typed").set_value("~/gone")
    app.button(key="folder:use").click().run()
    assert "no folder 'gone'" in plain(app)
    assert len(remembered_folders.find(ServerSettings.read())) == 1


def test_a_folder_can_be_forgotten(home):
    folder = remembered_folders.add(ServerSettings.read(), home / "Pictures")
    app = opened("Runs")
    app.button(key="folder:open").click().run()
    app.button(key=f"folder:forget:{describe_path(folder, '').id}").click().run()
    assert remembered_folders.find(ServerSettings.read()) == ()
    assert "There are no photos below" in said(opened("Runs"))


def test_a_damaged_list_is_a_sentence_on_the_page(home):
    remembered_folders.add(ServerSettings.read(), home / "Pictures")
    (ServerSettings.read().store / "folders.json").write_text("{")
    app = opened("Runs")
    assert not app.exception
    assert "folders.json is damaged: add the folder again" in plain(app)


def test_it_is_off_when_others_can_reach_the_server_and_its_jobs_are_refused(home, monkeypatch):
    folder = remembered_folders.add(ServerSettings.read(), home / "Pictures" / "class")
    request = RunRequest(folder=describe_path(folder, "").id, title="class", model="fcn_mobilenet_v2", resize="224")
    job = Jobs(ServerSettings.read()).start(request)
    make_local(monkeypatch, local=False)
    source.look_again()
    app = opened("Runs")
    assert "folder:open" not in [button.key for button in app.button]
    assert "There are no photos below" in said(app)
    assert str(home) not in plain(app)
    for attempt in (lambda: Jobs(ServerSettings.read()).start(replace(request, resize="")),):
        with pytest.raises(UsageError, match="among those"):
            attempt()
    Jobs(ServerSettings.read()).stop(job.id)


def test_a_folder_that_was_just_copied_is_there_after_look_again(tmp_path, serve):
    source.look_again()
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.jpg").write_bytes(b"x")
    serve(tmp_path / "store", tmp_path / "data")
    app = opened("Runs")
    assert app.selectbox(key="start:folder").options == ["data", "data/a"]
    (tmp_path / "data" / "b").mkdir()
    (tmp_path / "data" / "b" / "1.jpg").write_bytes(b"x")
    (tmp_path / "link").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "link")
    app.run()
    assert app.selectbox(key="start:folder").options == ["data", "data/a"]
    app.button(key="start:look").click().run()
    assert app.selectbox(key="start:folder").options == ["data", "data/a", "data/b"]
    assert "not followed (data/linked): to analyse one, name it when" in plain(app)
    assert "2 photos in data" in said(app)
