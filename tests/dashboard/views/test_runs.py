"""The Runs page, through Streamlit's own test driver: what is there, and that its buttons do what they say."""

import os
import signal
import sys
import time
from dataclasses import replace

import pytest

from dashboard.offers import models
from dashboard.offers.models import ModelOffer
from dashboard.offers.photo_folders import find_folders
from dashboard.queries import source
from dashboard.queries.runs import pending
from dashboard.settings import ServerSettings
from dashboard.views.runs.table import UNREPEATABLE
from dashboard.workers import jobs
from dashboard.workers.jobs import Jobs
from dashboard.workers.predictor import ModelDescription, Predictor
from dashboard.workers.requests import RunRequest
from seglib.classes import VOC_CLASSES
from seglib.data.left_out import LeftOut
from seglib.models.adapter import ModelRequest
from seglib.store import scans
from seglib.store.scans import ScanRecord
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, id_of, make_run_config
from tests.dashboard.views.test_pages import asked, component, opened, said

QUIET = (
    "import json, pathlib, sys, time\n"
    "(pathlib.Path(sys.argv[1]) / 'state.json').write_text(json.dumps(dict(state='running', total=8, computed=2)))\n"
    "time.sleep(60)"
)


@pytest.fixture
def photos(tmp_path, serve, monkeypatch):
    """A store that is not there yet, a folder of two photos that is offered, and workers that do nothing."""
    source.offered_folders.clear()
    pending.clear()
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    for name in ("a.jpg", "b.jpg"):
        path = tmp_path / "data" / "set" / "cats" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    serve(tmp_path / "store", tmp_path / "data")
    yield tmp_path / "data"
    for process in jobs._children:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _init_quiet(real):
    return lambda self, settings: real(self, settings, (sys.executable, "-c", QUIET))


def table(app) -> list[dict]:
    """The rows of the table of runs."""
    return component(app, "runs")["runs"]


def entry(app, run: str, action: str) -> dict:
    """An entry of a run's menu."""
    (row,) = [row for row in table(app) if row["run"] == run]
    return next(one for one in row["actions"] if one["id"] == action)


def choose(app, run: str, action: str):
    """Choose an entry of a run's menu, as the browser sends it."""
    app.session_state["runs:table:chosen"] = {"run": run, "action": action}
    return app.run()


# --- what is there ---


@pytest.mark.parametrize(
    ("state", "sentence"), [("empty", "holds no run yet"), ("missing", "There is no store yet"), ("newer", "layout 99")]
)
def test_without_a_run_the_page_is_there(request, state, sentence):
    request.getfixturevalue(state)
    app = opened("Runs")
    assert not app.exception
    assert app.title[0].value == "Runs"
    assert sentence in said(app)


def test_each_run_is_listed_and_opens_in_explore(full):
    fill_store(full, pixels={"cats/a.jpg": {"dog": 10}}, code_schema=2)
    app = opened("Runs", label=["dogs"])
    assert [row["run"] for row in table(app)] == [make_run_config(2).run_name, make_run_config(1).run_name]
    assert [row["photos"] for row in table(app)] == ["1", "6"]
    choose(app, make_run_config(1).run_name, "explore").run()
    assert app.title[0].value == "Explore"
    assert asked(app, "run") == [make_run_config(1).run_name]
    assert "label" not in app.query_params


def test_a_run_is_renamed_here_and_called_so_on_every_page(full):
    name, title = make_run_config(1).run_name, "<b>Mine</b> **x** [l](http://x)"
    app = opened("Runs")
    assert [row["title"] for row in table(app)] == ["fake_net"]
    choose(app, name, "rename")
    app.text_input(key=f"title:{name}").set_value(title)
    app.button(key=f"save_title:{name}").click().run()
    assert not app.exception
    assert Store(full).run(name).title == title
    assert [row["title"] for row in table(app)] == [title]
    assert opened("Explore").selectbox(key="w:run").options == [f"{title} · 64x64"]
    choose(app, name, "rename")
    app.text_input(key=f"title:{name}").set_value("\u202egnp.cat")
    app.button(key=f"save_title:{name}").click().run()
    assert Store(full).run(name).title == title
    choose(app, name, "rename")  # the driver draws the page, and with it no dialog, after a click in one
    assert "marks that turn the direction" in said(app)
    app.text_input(key=f"title:{name}").set_value("")
    app.button(key=f"save_title:{name}").click().run()
    assert [row["title"] for row in table(app)] == ["fake_net"]


def test_a_run_says_which_classes_its_model_was_never_trained_on(full):
    store = Store(full)
    store.write_run(replace(store.run(), untrained_classes=("boat", "train")))
    assert table(opened("Runs"))[0]["note"] == "Its model was never trained on boat, train."


def test_a_run_whose_model_cannot_be_identified_is_marked(full):
    assert table(opened("Runs"))[0]["note"] == ""
    store = Store(full)
    store.write_run(replace(store.run(), repeatable=False))
    assert table(opened("Runs"))[0]["note"] == UNREPEATABLE


def test_the_view_is_still_there_on_the_way_back(full):
    app = opened("Runs", label=["dogs"])
    assert asked(app, "label") == ["dogs"]


def test_unreadable_files_are_listed_with_their_reason(full):
    app = opened("Runs")
    (frame,) = [f.value for f in app.dataframe if "reason" in f.value]
    assert frame[["path", "reason"]].to_numpy().tolist() == [["cats/bad.jpg", "not an image"]]


def test_what_was_left_out_of_the_folders_is_listed(full):
    assert "left out" not in said(opened("Runs"))
    store = Store(full)
    dataset = store.datasets()[0]
    counts = LeftOut(kinds={".mp4": 12}, links_outside=2318)
    scans.keep(store, dataset, ScanRecord(counts, follow_links=False))
    text = said(opened("Runs")).replace("\\", "")
    assert f"{dataset.name}: 12 files of other kinds were left out: 12 .mp4." in text
    assert "2,318 links out of the folder were left out: follow with --follow-links" in text


def test_without_photos_below_the_data_the_page_says_so(empty):
    app = opened("Runs")
    assert "There are no photos below" in said(app)
    assert str(empty.parent) not in said(app).replace("\\", "")


def test_a_filled_store_without_a_folder_is_not_said_to_hold_no_photos(empty, monkeypatch):
    unnamed = replace(ServerSettings.read(), folders_named=False)
    for name, value in unnamed.to_environment().items():
        monkeypatch.setenv(name, value)
    assert "There are no photos yet" in said(opened("Runs"))
    fill_store(empty)
    text = said(opened("Runs"))
    assert "There are no photos" not in text
    assert "No folder of photos was named when the server was started" in text


# --- starting, watching, stopping ---


def test_the_first_run_is_started_from_the_page(photos, tmp_path):
    app = opened("Overview")
    app.button(key="add_photos").click().run()
    assert app.title[0].value == "Runs"
    app.selectbox(key="start:folder").select_index(1).run()
    assert "2 photos in data/set" in said(app).replace("\\", "")
    app.button(key="start").click().run()
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert (job.request.title, job.request.model, job.request.resize) == ("data/set", "fcn_mobilenet_v2", "224")
    assert "fcn_mobilenet_v2 · 224 · auto, on data/set" in said(app).replace("\\", "")
    assert str(tmp_path) not in said(app).replace("\\", "")

    app.button(key="start").click().run()  # once more: refused in a sentence
    assert "running on data/set already" in said(app).replace("\\", "")
    assert len(Jobs(ServerSettings.read()).all()) == 1

    while not Jobs(ServerSettings.read()).all()[0].total:
        time.sleep(0.05)
    app.button(key=f"stop:{job.id}").click().run()
    while Jobs(ServerSettings.read()).all()[0].live:
        time.sleep(0.05)
    app.run()
    assert "Cancelled after 2 of 8 photos; they are kept." in said(app).replace("\\", "")
    app.button(key=f"resume:{job.id}").click().run()
    assert Jobs(ServerSettings.read()).all()[0].live
    assert app.button(key=f"stop:{job.id}")


def test_an_ended_job_can_be_dismissed(photos):
    some = Jobs(ServerSettings.read())
    folder = find_folders(ServerSettings.read().photo_folders)[0]
    job = some.start(RunRequest(folder=folder.id, title=folder.title, model="fcn_mobilenet_v2", resize="224"))
    os.killpg(jobs._children[-1].pid, signal.SIGKILL)
    jobs._children[-1].wait()
    app = opened("Runs")
    assert "ended without a message" in said(app)
    app.button(key=f"forget:{job.id}").click().run()
    assert some.all() == []
    assert "without a word" not in said(app)


def test_several_networks_are_several_jobs_each_at_its_own_size(photos, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    app = opened("Runs")
    app.multiselect(key="start:models").set_value(["fcn_mobilenet_v2", "fcn_resnet50"]).run()
    assert "fcn_resnet50: its weights are not here; about 132 MB are downloaded" in said(app).replace("\\", "")
    assert "fcn_mobilenet_v2 sees every photo at a short side of 320" in app.selectbox(key="start:resize").help
    app.button(key="start").click().run()
    assert {job.request.resize for job in Jobs(ServerSettings.read()).all()} == {"224", "short:520"}


def test_an_offered_model_is_started_by_its_id(photos, monkeypatch):
    offer = ModelOffer(id="offered:00000001", title="models/a.onnx (ONNX)", request=ModelRequest(model="/x/a.onnx"))
    monkeypatch.setattr(models, "find_models", lambda _: [offer])
    described = ModelDescription(name="a", classes=VOC_CLASSES, resize="96")
    monkeypatch.setattr(Predictor, "describe", lambda self, model: described)
    app = opened("Runs")
    app.multiselect(key="start:models").set_value([offer.id]).run()
    assert "models/a.onnx (ONNX): 21 classes, masks of 96" in said(app).replace("\\", "")
    app.button(key="start").click().run()
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert (job.request.model, job.request.model_title, job.request.resize) == (offer.id, offer.title, "96")
    assert "models/a.onnx (ONNX) · 96 · auto, on data" in said(app).replace("\\", "")
    record = next((ServerSettings.read().store / "jobs").glob("*/request.json")).read_text()
    assert "/x/a.onnx" not in record


def test_a_run_of_a_foreign_model_is_run_again_by_its_name(tmp_path, serve, monkeypatch):
    source.offered_folders.clear()
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    started = []
    monkeypatch.setattr(Jobs, "start", lambda self, request: started.append(request))
    run = fill_store(tmp_path / "store", real=True)
    serve(tmp_path / "store", tmp_path / "photos")
    store = Store(tmp_path / "store")
    store.record_invocation(
        run,
        {"dataset": store.datasets()[0].id, "started": "2", "computed": 6, "seconds": 1, "failed": 0, "device": "cpu"},
    )
    store.write_run(replace(store.run(), request={"model": "hf:/x/segformer"}, title="Mine"))
    app = opened("Runs")
    assert not app.exception
    choose(app, run.run, "again")
    choose(app, run.run, "verify")
    expected = RunRequest(
        folder=find_folders((tmp_path / "photos",))[0].id,
        title="photos",
        model=f"run:{run.run}",
        model_title="Mine",
        resize="64x64",
        precision="fp32",
    )
    assert [replace(one, folder=expected.folder) for one in started] == [expected, replace(expected, verify=True)]
    store.write_run(replace(store.run(), request={"model": "/x/evil.py:make"}))
    app = opened("Runs")
    assert "own code" in entry(app, run.run, "again")["why_not"]
    choose(app, run.run, "again")  # what cannot be chosen is ignored
    assert len(started) == 2


def test_a_run_of_150_classes_is_as_usable_as_others(full):
    names = tuple(f"class {number}" for number in range(150))
    pixels = {"cats/a.jpg": dict.fromkeys(names[10:60], 1), "dogs/d.jpg": {"class 20": 80, "class 0": 20}}
    fill_store(full, code_schema=2, pixels=pixels, classes=names)
    run = make_run_config(2, names).run_name
    for page in ("Overview", "Explore", "Image", "Compare", "Evaluate", "Runs"):
        app = opened(page, run=[run])
        assert not app.exception
        if page == "Explore":
            gallery = component(app, "tiles")
            assert gallery["legend"][0][0] == "class 20"
            assert len(gallery["legend"]) <= 16
            assert len(gallery["legend"]) + len(gallery["more_classes"]) == 150
        if page == "Overview":
            assert "largest of" in said(app)


# --- deleting and pruning ---


def test_a_run_is_deleted_after_a_question(full):
    fill_store(full, pixels={"cats/a.jpg": {"dog": 10}}, code_schema=2)
    app = opened("Runs")
    choose(app, make_run_config(1).run_name, "delete")
    assert "6 photos" in said(app)
    assert len(Store(full).runs()) == 2
    image_id = id_of("cats/a.jpg")
    cached = full / "cache" / "uncertainty" / make_run_config(1).run_name / image_id[:2] / f"{image_id}.png"
    cached.parent.mkdir(parents=True)
    cached.touch()
    app.button(key="delete").click().run()
    assert [run.run for run in Store(full).runs()] == [make_run_config(2).run_name]
    assert not cached.exists()


def test_a_damaged_run_can_be_deleted_here_and_the_others_come_back(full):
    fill_store(full, pixels={"cats/a.jpg": {"dog": 10}}, code_schema=2)
    (full / "runs" / make_run_config(2).run_name / "run.json").write_text('{"model": "fake')
    app = opened("Runs")
    assert not app.exception
    assert "run.json is damaged" in said(app).replace("\\", "")
    assert str(full.parent) not in said(app)
    app.button(key=f"delete:{make_run_config(2).run_name}").click().run()
    app.button(key="delete").click().run()
    assert not app.exception
    assert [run.run for run in Store(full).runs()] == [make_run_config(1).run_name]
    assert [row["run"] for row in table(app)] == [make_run_config(1).run_name]


def test_a_damaged_part_is_told_beside_its_run_which_can_be_deleted(broken):
    app = opened("Runs")
    assert not app.exception
    (row,) = table(app)
    assert "is damaged (its content is not what was written)" in row["note"]
    assert (row["photos"], row["state"]) == ("–", "cannot be read")
    choose(app, make_run_config(1).run_name, "delete")
    app.button(key="delete").click().run()
    assert not app.exception
    assert Store(broken).runs() == []


def test_what_is_stale_is_looked_up_when_asked_and_removed(full):
    app = opened("Runs")
    assert not [b for b in app.button if b.key == "prune"]
    stray = Store(full).thumbnail_path("0" * 32)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    cached = full / "cache" / "photos" / "00" / f"{'0' * 32}.jpg"
    cached.parent.mkdir(parents=True)
    cached.touch()
    app.button(key="check").click().run()
    frames = [f.value for f in app.dataframe]
    assert any("gone" in str(frame.get("folder", "")) for frame in frames)
    assert "1 rows and pictures" in said(app)
    app.button(key="prune").click().run()
    assert not stray.exists()
    assert not cached.exists()
    assert "Nothing in the store is stale" in said(app)


def test_runs_of_unknown_models_cannot_be_run_again(full):
    assert (
        "model was in the memory of another program"
        in entry(opened("Runs"), make_run_config(1).run_name, "again")["why_not"]
    )
