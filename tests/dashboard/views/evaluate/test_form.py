"""Evaluate's form: what it shows of the masks before anything is computed, and what it asks for."""

import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.queries import masks as mask_queries
from dashboard.queries import source
from dashboard.settings import ServerSettings
from dashboard.views.evaluate import form
from dashboard.workers import jobs
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import CalibrateRequest, EvaluateRequest
from seglib.classes import VOC_CLASSES
from seglib.evaluation import truth_counting
from seglib.masks import png
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import TRUTH, draw_truth, fill_store, make_run_config, mask_of
from tests.dashboard.views.compare.test_compare import plain, shown_all
from tests.dashboard.views.test_pages import html, opened
from tests.dashboard.views.test_runs import _init_quiet

RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name


@pytest.fixture
def data(full, serve, monkeypatch) -> Path:
    """A run of six photos, three of which have a mask in `data/masks`; workers that do nothing."""
    data = full.parent / "data"
    draw_truth(data / "masks")
    serve(full, data)
    source.offered_folders.clear()
    source.mask_sources.clear()
    mask_queries._offers.clear()
    monkeypatch.setattr(mask_queries, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    yield data
    for process in jobs._children:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def draw_binary(folder: Path) -> None:
    for name, counts in TRUTH.items():
        file = (folder / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((png.resize_mask(mask_of(counts), (40, 30)) > 0).astype(np.uint8) * 255).save(file)


def requests() -> list[EvaluateRequest]:
    return [job.request for job in Jobs(ServerSettings.read()).all()]


def keys(app, kind: str) -> set[str]:
    return {element.key for element in getattr(app, kind)}


def test_the_form_says_what_fits_and_shows_three_previews_before_anything_is_computed(data):
    app = opened("Evaluate")
    assert not app.exception
    assert app.selectbox(key="evaluate:folder").value in {s.id for s in source.mask_sources((data,))}
    assert "3 of 6 photos have a mask · read as VOC indices: background, cat, dog." in plain(app)
    assert "Matched: 3 by path." in plain(app)
    alts = re.findall(r"<img src='data:image/jpeg;base64,[^']+' alt='([^']+)'>", html(app))
    assert alts == [
        "cats/a.jpg under its mask: cat 60\xa0%",
        "cats/b.jpg under its mask: cat 30\xa0%",
        "dogs/d.jpg under its mask: dog 80\xa0%",
    ]
    assert "<figcaption>cats/a.jpg</figcaption>" in html(app)
    assert "evaluate:classes" not in keys(app, "text_input")
    assert not app.button(key="evaluate").disabled
    assert requests() == []


def test_while_masks_are_looked_at_the_page_is_there_and_the_button_waits(data, monkeypatch):
    monkeypatch.setattr(mask_queries, "inspected", lambda *_: None)
    app = opened("Evaluate")
    assert not app.exception
    assert "Looking at the masks ..." in plain(app)
    assert app.button(key="evaluate").disabled
    monkeypatch.setattr(mask_queries, "offered", lambda *_: None)
    app.run()
    assert not app.exception
    assert "Looking for masks below data ..." in plain(app)
    assert app.multiselect(key="evaluate:runs").value == [RUN]
    assert "evaluate" not in keys(app, "button")


def test_a_refusal_is_settled_by_the_controls_beside_it(data):
    draw_binary(data / "masks")
    app = opened("Evaluate")
    assert "The masks hold only 0 and 255" in plain(app)
    assert "add Format binary and Classes background,NAME" in plain(app)
    assert app.button(key="evaluate").disabled
    assert app.text_input(key="evaluate:classes").value == ""
    app.selectbox(key="evaluate:format").set_value("binary").run()
    assert "Binary masks name no class" in plain(app)
    app.text_input(key="evaluate:classes").set_value("animal").run()
    assert not app.exception
    assert "read as binary masks: background, animal" in plain(app)
    assert "animal 60" in html(app)
    app.button(key="evaluate").click().run()
    (request,) = requests()
    assert (request.format, request.classes) == ("binary", ("animal",))


def test_values_and_names_that_make_no_request_are_refused(data):
    app = opened("Evaluate")
    app.text_input(key="evaluate:ignore").set_value("8, many").run()
    assert "Ignore lists values of pixels" in plain(app)
    assert app.button(key="evaluate").disabled
    app.text_input(key="evaluate:ignore").set_value("8").run()
    app.selectbox(key="evaluate:format").set_value("index").run()
    app.text_input(key="evaluate:classes").set_value(", ".join(VOC_CLASSES)).run()
    assert "read as class indices: background, dog; 30.0 % ignored" in plain(app)
    for text in ("cat, cat", "a\x00b", ", "):
        app.text_input(key="evaluate:classes").set_value(text).run()
        assert "different names" in plain(app)
        assert app.button(key="evaluate").disabled
    assert not app.exception


def test_names_that_fit_two_masks_are_settled_by_a_suffix(data):
    for name, counts in (("cats/a_mask", {"cat": 9}), ("cats/a_seg", {"dog": 9})):
        draw_truth(data / "both", {f"{name}.jpg": counts})
    app = opened("Evaluate")
    both = {one.title: one.id for one in source.mask_sources((data,))}["data/both/cats"]
    app.selectbox(key="evaluate:folder").set_value(both).run()
    assert "fits 2 masks" in plain(app)
    assert "name the Suffix of those to use" in plain(app)
    assert app.expander[0].proto.expanded
    app.text_input(key="evaluate:suffix").set_value("_seg").run()
    assert not app.exception
    assert "Matched: 1 without the suffix _seg." in plain(app)
    app.button(key="evaluate").click().run()
    assert requests()[0].suffix == "_seg"


def test_colours_without_names_are_refused_until_a_labelmap_lies_beside_them(data):
    for name in TRUTH:
        colours = np.zeros((30, 40, 3), np.uint8)
        colours[:10], colours[10:20] = (250, 50, 83), (1, 2, 3)
        Image.fromarray(colours).save((data / "masks" / name).with_suffix(".png"))
    app = opened("Evaluate")
    assert "name them in a labelmap" in plain(app)
    assert "found as labelmap.txt in the masks' folder or beside it" in plain(app)
    (data / "masks" / "labelmap.txt").write_text("background:0,0,0::\ncat:250,50,83::\nrug:1,2,3::\n")
    app.run()
    assert "read as colours: background, cat, rug" in plain(app)
    assert not app.button(key="evaluate").disabled


def test_a_path_typed_as_classes_is_a_name_and_never_read(data):
    draw_binary(data / "masks")
    secret = data.parent / "secret.txt"
    secret.write_text("background\nclassified\n")
    app = opened("Evaluate")
    app.selectbox(key="evaluate:format").set_value("binary").run()
    app.text_input(key="evaluate:classes").set_value(str(secret)).run()
    assert not app.exception
    assert "classified" not in plain(app) + html(app)


def test_choices_are_kept_per_folder_and_while_controls_are_not_drawn(data, monkeypatch):
    draw_truth(data / "other")
    app = opened("Evaluate")
    by_title = {s.title: s.id for s in source.mask_sources((data,))}
    app.selectbox(key="evaluate:folder").set_value(by_title["data/masks"]).run()
    app.selectbox(key="evaluate:format").set_value("index").run()
    app.text_input(key="evaluate:classes").set_value("a, b").run()
    app.number_input(key="evaluate:offset").set_value(2).run()
    app.selectbox(key="evaluate:format").set_value("trimap").run()
    assert "evaluate:classes" not in keys(app, "text_input")
    app.selectbox(key="evaluate:folder").set_value(by_title["data/other"]).run()
    assert app.selectbox(key="evaluate:format").value == "auto"
    assert app.number_input(key="evaluate:offset").value == 0
    with monkeypatch.context() as patch:
        patch.setattr(mask_queries, "offered", lambda *_: None)
        app.run()
    app.run()
    assert app.selectbox(key="evaluate:folder").value == by_title["data/other"]
    app.selectbox(key="evaluate:folder").set_value(by_title["data/masks"]).run()
    app.selectbox(key="evaluate:format").set_value("index").run()
    assert app.text_input(key="evaluate:classes").value == "a, b"
    assert app.number_input(key="evaluate:offset").value == 2
    assert not app.exception


def test_masks_that_would_be_left_out_or_fit_no_photo_are_said(data):
    draw_truth(data / "masks", {"cats/b.jpg": {"cat": 30}}, size_wh=(40, 31))
    draw_truth(data / "masks", {"cats/nobody.jpg": {"cat": 30}})
    said = plain(opened("Evaluate"))
    assert "1 mask fits none of these photos." in said
    assert "1 of 3 masks looked at would be left out; the first: The mask 'cats/b.png' is 40 x 31 pixels" in said


def test_names_are_text_and_nothing_else(data):
    shutil.rmtree(data / "masks")
    draw_truth(data / "masks", {"others/<img src=x onerror=alert(1)> :cat: **b** [l](http://x).jpg": {"cat": 5}})
    app = opened("Evaluate")
    assert "others/&lt;img src=x onerror=alert(1)&gt;" in html(app)
    assert "<img src=x" not in html(app)


def test_why_a_folder_is_not_offered_is_said_where_none_is(data):
    (data / "masks").rename(data / "photos")
    for file in (data / "photos").rglob("*.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(file)
    app = opened("Evaluate")
    assert not app.exception
    assert "There are no masks of these photos below data" in plain(app)
    assert "data/photos is not offered: these are photos." in plain(app)
    assert str(data.parent) not in plain(app)


# --- once there is a ground truth ---


def test_masks_are_opened_only_when_the_popover_is_open(data, full, monkeypatch):
    truth_counting.update_counts(Store(full), open_drawn(data / "masks"), [RUN])
    with monkeypatch.context() as patch:
        patch.setattr(mask_queries, "offered", lambda *_: pytest.fail("masks were looked for"))
        app = opened("Evaluate")
    assert not app.exception
    assert "evaluate:folder" not in keys(app, "selectbox")
    app.session_state[form.POPOVER] = True
    app.run()
    assert "3 of 6 photos have a mask" in plain(app)
    app.button(key="evaluate").click().run()
    assert len(requests()) == 1
    assert app.session_state[form.POPOVER] is False


def test_the_truths_own_reading_is_preselected_and_calibrated_against(data, full):
    options = {"format": "index", "classes": ("background", *VOC_CLASSES[:0:-1]), "offset": 1, "ignore": (12,)}
    store = Store(full)
    truth_counting.update_counts(store, open_drawn(data / "masks", **options), [RUN])
    (truth,) = ground_truth.list_truths(store)
    app = shown_all("Evaluate")
    app.session_state[form.POPOVER] = True
    app.run()
    assert not app.exception
    assert app.selectbox(key="evaluate:format").value == "index"
    assert app.text_input(key="evaluate:classes").value == ", ".join(options["classes"])
    assert (app.text_input(key="evaluate:ignore").value, app.number_input(key="evaluate:offset").value) == ("12", 1)
    app.button(key="calibrate").click().run()
    (request,) = requests()
    assert isinstance(request, CalibrateRequest)
    assert request.truth == truth.id
    masks = mask_queries.open_masks(data / "masks", request.options)
    assert ground_truth.register_truth(store, masks).id == truth.id


def test_masks_that_a_job_left_out_are_listed(data, full):
    truth_counting.update_counts(Store(full), open_drawn(data / "masks"), [RUN])
    (masks,) = [one for one in source.mask_sources((data,)) if one.title == "data/masks"]
    request = EvaluateRequest(folder=masks.id, title=masks.title, format="auto", runs=(RUN,))
    job = Jobs(ServerSettings.read()).start(request)
    for process in jobs._children:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    result = {"state": "finished", "left_out": 5, "left_out_reasons": ["The mask 'a.png' is <b>bad</b>.", "So is b."]}
    jobs.write_json(full / "jobs" / job.id / "state.json", result)
    said = plain(opened("Evaluate"))
    assert "5 masks were left out of the evaluation against data/masks:" in said
    assert "The mask 'a.png' is <b>bad</b>." in said
    assert "and 3 others." in said
    fill_store(full, code_schema=2)
    jobs.write_json(full / "jobs" / job.id / "state.json", result | {"left_out": 0, "left_out_reasons": []})
    assert "left out of" not in plain(opened("Evaluate"))
