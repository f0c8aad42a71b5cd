"""The Evaluate page, through Streamlit's own test driver."""

import os
import shutil
import signal
from urllib.parse import parse_qsl

import pytest

from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries import masks, source
from dashboard.settings import ServerSettings
from dashboard.state.view import View
from dashboard.workers import jobs
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import EvaluateRequest
from seglib.evaluation import evaluation, evaluation_tables, truth_counting
from seglib.pipeline.import_masks import import_masks
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PIXELS, draw_truth, fill_store, id_of, make_run_config
from tests.dashboard.views.compare.test_compare import answer, matrix, plain, shown_all, tiles
from tests.dashboard.views.image.test_image import place
from tests.dashboard.views.test_pages import asked, component, html, opened
from tests.dashboard.views.test_runs import _init_quiet

RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name


@pytest.fixture
def store(full, serve, monkeypatch) -> Store:
    """A run of six photos, three of which have a mask below `--data`; nothing evaluated, workers that do nothing."""
    draw_truth(full.parent / "data" / "masks")
    serve(full, full.parent / "data")
    source.offered_folders.clear()
    source.mask_sources.clear()
    masks._offers.clear()
    monkeypatch.setattr(masks, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    yield Store(full)
    for process in jobs._children:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def one(store) -> Store:
    truth_counting.update_counts(store, open_drawn(store.path.parent / "data" / "masks"), [RUN])
    return store


@pytest.fixture
def two(one) -> Store:
    fill_store(one.path, code_schema=2, pixels=PIXELS | {"cats/a.jpg": {"cat": 60}})
    truth_counting.update_counts(one, open_drawn(one.path.parent / "data" / "masks"), [OTHER])
    return one


def test_without_a_truth_the_page_says_how_to_begin(store):
    app = opened("Evaluate")
    assert not app.exception
    assert "no ground truth yet" in plain(app)
    assert "python -m seglib evaluate --truth FOLDER" in plain(app)
    assert "data/masks" in app.selectbox(key="evaluate:folder").options
    app.button(key="evaluate").click().run()
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert isinstance(job.request, EvaluateRequest)
    assert (job.request.runs, job.request.format) == ((RUN,), "auto")


def test_without_a_folder_of_masks_it_says_so(store):
    shutil.rmtree(store.path.parent / "data" / "masks")
    app = opened("Evaluate")
    assert not app.exception
    assert "There are no masks of these photos below data" in plain(app)


def test_figures_are_the_librarys_in_both_reductions(one):
    app = shown_all("Evaluate")
    assert not app.exception
    assert answer(app).startswith("mIoU 73.7 % (")
    assert answer(app).endswith(") on 3 photos.")
    assert "n = 3 of 6 photos with a mask of the truth" in html(app)
    assert "n = 3,600 labelled pixels" in plain(app)
    assert "<b>86.7\xa0%</b>" in html(app)  # 260 of 300 pixels
    assert "<dt>pixel accuracy</dt>" in html(app)
    assert "mean over photos 86.7\xa0%" in html(app)
    assert "<b>73.7\xa0%</b>" in html(app)  # mIoU: 130/140, 50/90, 80/110
    cell = matrix(app, "truth \\ prediction", "cat", "dog")
    assert (cell["text"], cell["hint"]) == ("33.3", "33\xa0% of cat is called dog: 360 pixels")
    assert cell["tone"] == "differs"
    assert matrix(app, "truth \\ prediction", "cat", "cat")["tone"] == "agrees"
    assert matrix(app, "truth \\ prediction", "dog", "cat")["value"] == 0
    assert "Expected calibration error" in plain(app)
    assert [tile["name"] for tile in tiles(app)] == ["cats/b.jpg", "cats/a.jpg", "dogs/d.jpg"]
    assert tiles(app)[0]["mask"].startswith(f"/media-api/judged/{RUN}/")
    assert f"truth={evaluated(one).id}" in tiles(app)[0]["href"]
    assert str(one.path.parent) not in html(app) + plain(app)


def evaluated(store: Store):
    from seglib.store import ground_truth

    (about,) = ground_truth.list_truths(store)
    return about


def test_a_filter_recomputes_every_figure_without_reading_a_mask(one, monkeypatch):
    monkeypatch.setattr(Store, "mask", lambda *_: pytest.fail("a mask was read"))
    app = shown_all("Evaluate", label=["dogs"])
    assert not app.exception
    assert "n = 1 of 2 photos" in html(app)
    assert "<b>100.0\xa0%</b>" in html(app)
    app = opened("Evaluate", label=["others"])
    assert "None of the selected photos has a mask of masks" in plain(app)
    app = opened("Evaluate", label=["nobody"])
    assert "None of the 6 photos passes all filters" in plain(app)


def test_a_cell_of_the_url_keeps_its_photos_and_its_chip_takes_it_away(one):
    app = shown_all("Evaluate", cell=["cat>dog"])
    assert not app.exception
    assert [tile["name"] for tile in tiles(app)] == ["cats/b.jpg"]
    assert tiles(app)[0]["found"] == "30\xa0%"
    assert matrix(app, "truth \\ prediction", "cat", "dog")["chosen"] is True
    app.button(key="chip:cell").click().run()
    assert len(tiles(app)) == 3
    assert "cell" not in app.query_params
    app = opened("Evaluate", cell=["zebra>dog"])
    assert not app.exception
    assert "None of the selected photos has such pixels" in plain(app)


def test_photos_are_sorted_and_shown_under_truth_or_prediction(one):
    app = opened("Evaluate", **{"class": ["cat"]})
    for grade, first, shown in (
        ("boundary", "cats/a.jpg", "0\xa0%"),
        ("accuracy", "cats/b.jpg", "70\xa0%"),
        ("iou", "cats/b.jpg", "0\xa0%"),
    ):
        app.selectbox(key="w:grade").set_value(grade).run()
        assert not app.exception
        assert asked(app, "worst") == [grade]
        assert (tiles(app)[0]["name"], tiles(app)[0]["found"]) == (first, shown)
    app.segmented_control(key="w:layer").select("truth").run()
    assert asked(app, "layer") == ["truth"]
    assert tiles(app)[0]["mask"].startswith("/media-api/truth/")
    assert tiles(app)[0]["bar"][0][:2] == ["cat", 0.3]
    app.segmented_control(key="w:layer").select("prediction").run()
    assert tiles(app)[0]["mask"].startswith(f"/media-api/overlay/{RUN}/")
    assert tiles(app)[0]["bar"][0][:2] == ["dog", 0.3]


@pytest.mark.slow
def test_several_runs_stand_side_by_side_with_their_paired_difference(two):
    app = shown_all("Evaluate", run=[RUN])
    assert not app.exception
    assert answer(app).startswith("3 photos are too few to tell the runs apart: mIoU ")
    assert "Runs side by side" in html(app)
    assert "+3.3 points" in html(app)
    assert "86.7\xa0%" in html(app)
    assert "<td><strong>90.0\xa0% [" in html(app)  # the better one, in bold
    app.pills(key="w:graded").unselect(OTHER).run()
    assert not app.exception
    assert "Runs side by side" not in html(app)
    assert asked(app, "runs") == [RUN]


def test_a_run_that_is_not_evaluated_is_said_not_to_be(one):
    fill_store(one.path, code_schema=2)
    app = shown_all("Evaluate", run=[OTHER])
    assert not app.exception
    assert "The active run is not evaluated against this truth" in html(app)
    assert "<b>86.7\xa0%</b>" in html(app)


def test_a_truth_of_a_link_that_is_gone_is_said_and_never_replaced(one):
    app = shown_all("Evaluate", truth=["00000000"])
    assert not app.exception
    assert "This link speaks of a ground truth that is not in this store: 00000000." in plain(app)
    assert (answer(app), "<dd" in html(app)) == ("", False)
    assert asked(app, "truth") == ["00000000"]
    app.selectbox(key="w:truth").set_value(evaluated(one).id).run()
    assert "speaks of" not in plain(app)
    assert "<b>86.7\xa0%</b>" in html(app)
    app = opened("Evaluate", truth=["../../etc"])
    assert "was left out of the link" in plain(app)


def test_the_address_names_all_that_is_shown_and_a_later_run_changes_nothing(two):
    app = opened("Evaluate", run=[RUN], label=["cats"])
    linked = {key: asked(app, key) for key in ("run", "runs", "truth", "label", "n")}
    assert linked == {
        **{"run": [RUN], "runs": sorted([RUN, OTHER]), "truth": [evaluated(two).id]},
        **{"label": ["cats"], "n": ["2"]},
    }
    before = answer(app)
    fill_store(two.path, code_schema=3, pixels={"cats/a.jpg": {"cat": 60}})
    third = make_run_config(3).run_name
    truth_counting.update_counts(two, open_drawn(two.path.parent / "data" / "masks"), [third])
    assert answer(opened("Evaluate", **linked)) == before
    assert "1 photo is too few" in answer(opened("Evaluate", run=[RUN], label=["cats"]))  # as old links are opened
    app = opened("Evaluate", **linked | {"n": ["3"]})
    assert "This link was made with n = 3; these figures count 2." in plain(app)


def test_runs_of_a_link_that_are_not_evaluated_are_not_replaced(one):
    fill_store(one.path, code_schema=2)
    app = opened("Evaluate", run=[OTHER], runs=[OTHER])
    assert "not evaluated against masks" in plain(app)
    assert answer(app) == ""
    app.pills(key="w:graded").select(RUN).run()
    assert answer(app).startswith("mIoU 73.7")
    app = opened("Evaluate", run=[RUN], runs=[RUN, OTHER])
    assert "Not evaluated against this truth, so not shown: fake_net" in html(app)


def test_captions_name_the_classes(one):
    lines = {tile["name"]: tile["lines"] for tile in tiles(opened("Evaluate"))}
    assert lines == {
        "cats/a.jpg": ["cat missed 10\xa0%"],
        "cats/b.jpg": ["cat taken for dog 30\xa0%"],
        "dogs/d.jpg": [],
    }


@pytest.mark.slow
def test_tables_are_those_of_the_library(two):
    _, version, _ = source.open_store(two.path)
    shown = evaluation_queries.evaluation_query(
        source.RunSource(str(two.path), version, RUN), evaluated(two), [RUN, OTHER], View().filters
    )
    found = [evaluation.load_evaluation(two, evaluated(two), run) for run in (RUN, OTHER)]
    for name, frame in (
        ("runs", evaluation_tables.summarize(found)),
        ("images", evaluation_tables.all_images(found)),
        ("confusion", evaluation_tables.all_confusions(found)),
    ):
        csv = evaluation_queries.export_table(shown, name, "csv").decode()
        assert csv.splitlines()[0].split(",") == list(frame.columns)
        assert len(csv.splitlines()) == 1 + len(frame)
    assert evaluation_queries.export_table(shown, "confusion", "parquet")[:4] == b"PAR1"


def test_the_viewer_shows_the_truth_beside_the_runs(one):
    about = evaluated(one)
    app = opened("Image", image=[id_of("cats/a.jpg")], truth=[about.id])
    assert not app.exception
    shown = component(app, "pictures")
    assert [run["title"] for run in shown["runs"]] == ["fake_net · 64x64", "Truth: masks"]
    picture = shown["pictures"][shown["shown"]]
    assert picture["masks"][f"truth:{about.id}"].startswith(f"/media-api/truth/{about.id}/")
    assert list(picture["heats"]) == [RUN]
    app = opened("Image", image=[id_of("dogs/e.jpg")], truth=[about.id])  # it has no mask of the truth
    assert len(component(app, "pictures")["runs"]) == 1
    app = opened("Image", image=[id_of("cats/a.jpg")], truth=["00000000"])
    assert not app.exception
    assert len(component(app, "pictures")["runs"]) == 1


@pytest.mark.slow
def test_imported_masks_are_evaluated_and_their_confidence_is_unknown(one):
    run = import_masks(one, open_drawn(one.path.parent / "data" / "masks", make_run_config().classes), "theirs").run
    truth_counting.update_counts(one, open_drawn(one.path.parent / "data" / "masks"), [run])
    for page in ("Overview", "Explore", "Image", "Compare", "Evaluate", "Runs"):
        app = opened(page, run=[run])
        assert not app.exception, page
    app = shown_all("Evaluate", run=[run], runs=[run])
    assert "<b>100.0\xa0%</b>" in html(app)
    assert "came without probabilities" in plain(app)
    assert "calibration error of photos" not in html(app)


@pytest.mark.slow
def test_the_viewer_goes_on_in_the_order_of_the_gallery(two):
    app = opened("Evaluate", run=[RUN])
    order = [tile["name"] for tile in tiles(app)]
    assert order != sorted(order)
    address = dict(parse_qsl(tiles(app)[1]["href"].partition("?")[2]))
    assert (address["from"], address["difference"]) == ("evaluate", "overlay")
    query = {key: [text] for key, text in address.items() if key != "runs"}
    app = opened("Image", **query | {"image": [id_of(order[1])]})
    assert not app.exception
    assert [one["name"] for one in component(app, "pictures")["pictures"]] == order
    assert place(app) == (1, 3)
    assert app.selectbox(key="w:grade").value == "miou"
    pair = component(app, "pictures")["pair"]  # the truth is the first side, as in the gallery
    sides = [component(app, "pictures")["runs"][number] for number in pair["runs"]]
    assert (sides[0]["title"], sides[1]["run"]) == ("Truth: masks", RUN)
    assert {one["key"]: one["label"] for one in pair["categories"]}["only_a"] == "missed"
    app = opened("Image", **query | {"image": [id_of(order[1])], "cell": ["cat>background"]})
    assert not [one for one in app.selectbox if one.key == "w:grade"]  # a cell sorts by its own pixels
    app.button(key="back").click().run()
    assert app.title[0].value == "Evaluate"
