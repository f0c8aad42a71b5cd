"""Likely mistakes in the ground truth on the Evaluate page, through Streamlit's own test driver."""

import io

import pandas as pd
import pytest

from dashboard.queries import masks as mask_queries
from dashboard.queries import source
from dashboard.queries.evaluation import evaluation_query
from dashboard.queries.mistakes import label_quality
from dashboard.queries.source import RunSource
from dashboard.settings import ServerSettings
from dashboard.views.evaluate import mistakes
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import JudgeRequest
from seglib.evaluation import truth_counting
from seglib.query.filters import Filters
from seglib.store import ground_truth, tags
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import draw_truth, id_of, make_run_config
from tests.dashboard.judged import judge
from tests.dashboard.views.compare.test_compare import plain, tiles
from tests.dashboard.views.image.test_image import picture, place
from tests.dashboard.views.test_pages import asked, component, opened
from tests.dashboard.views.test_runs import _init_quiet

RUN = make_run_config().run_name


@pytest.fixture
def store(full, serve, monkeypatch) -> Store:
    """A run of six photos and masks of three of them below `--data`; workers that do nothing."""
    draw_truth(full.parent / "data" / "masks")
    serve(full, full.parent / "data")
    for cache in (source.offered_folders, source.mask_sources, mask_queries._offers):
        cache.clear()
    monkeypatch.setattr(mask_queries, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    return Store(full)


@pytest.fixture
def scored(store, monkeypatch) -> Store:
    judge(store, RUN, store.path.parent / "data" / "masks", monkeypatch)
    return store


def test_the_list_begins_with_the_mask_that_the_model_denies(scored):
    app = opened("Evaluate", worst=["mistakes"], layer=["doubts"])
    assert not app.exception
    assert [tile["name"] for tile in tiles(app)] == ["cats/b.jpg", "cats/a.jpg", "dogs/d.jpg"]
    first, second, last = tiles(app)
    assert (first["share"], first["lines"]) == (
        "label quality",
        ["Labelled cat, the model sees dog: 30.0\xa0% of the pixels"],
    )
    assert first["aside"].startswith("cat 0.00")
    assert second["lines"][0] == "Labelled cat, the model sees background: 10.0\xa0% of the pixels"
    assert (last["found"], last["lines"], last["bar"]) == ("0.980", ["The model is unsure of the labels"], [])
    assert first["bar"][0][:2] == ["doubtful", 0.3]
    assert first["mask"].startswith(f"/media-api/doubts/{RUN}/")
    assert "from=evaluate" in first["href"]
    assert "worst=mistakes" in first["href"]
    assert component(app, "tiles")["legend"] == [[mistakes.LEGEND, mistakes.DOUBT_COLOUR]]
    assert "n = 3 photos" in plain(app)


def test_the_switch_turns_to_the_list_and_back(scored):
    app = opened("Evaluate")
    app.segmented_control(key="w:evaluate_list").set_value("mistakes").run()
    assert not app.exception
    assert (asked(app, "worst"), asked(app, "layer")) == (["mistakes"], ["doubts"])
    assert "lowest mIoU first" not in app.selectbox(key="w:grade").options
    app.segmented_control(key="w:evaluate_list").set_value("worst").run()
    assert "worst" not in app.query_params
    assert "lowest label quality first" not in app.selectbox(key="w:grade").options


def test_one_class_ranks_alone_and_photos_without_it_are_left_out(scored):
    app = opened("Evaluate", worst=["mistakes"], layer=["doubts"])
    app.selectbox(key="w:mistake_class").select("cat").run()
    assert not app.exception
    assert (asked(app, "worst"), asked(app, "class")) == (["class-quality"], ["cat"])
    assert [tile["name"] for tile in tiles(app)] == ["cats/b.jpg", "cats/a.jpg"]
    assert tiles(app)[0]["share"] == "quality of cat"
    app.selectbox(key="w:mistake_class").select("every class").run()
    assert len(tiles(app)) == 3


def test_filters_and_tags_apply_and_the_viewer_steps_through_the_list(scored):
    tags.tag(scored, [id_of("cats/a.jpg")], "redraw")
    app = opened("Evaluate", worst=["mistakes"], tag=["redraw"])
    assert [(tile["name"], tile["tags"]) for tile in tiles(app)] == [("cats/a.jpg", ["redraw"])]
    app = opened("Evaluate", worst=["mistakes"], layer=["truth"])
    assert "/truth/" in tiles(app)[0]["mask"]
    app = opened(
        "Image", worst=["mistakes"], image=[id_of("cats/a.jpg")], **{"from": ["evaluate"]}, truth=[truth_id(scored)]
    )
    assert not app.exception
    assert place(app) == (1, 3)
    assert picture(app)["heats"][f"truth:{truth_id(scored)}"].startswith(f"/media-api/doubts/{RUN}/")


def truth_id(store: Store) -> str:
    (folder,) = store.truth_folders()
    return folder.name


@pytest.mark.parametrize("local", [True, False])
def test_the_work_list_names_paths_scores_classes_and_reasons(scored, local):
    truth = ground_truth.find_truth(scored, truth_id(scored))
    run_source = RunSource(str(scored.path), f"{scored.version(with_tags=False)}-0", RUN)
    query = evaluation_query(run_source, truth, [RUN], Filters())
    data = label_quality.export_work_list(query, RUN, "mistakes", "", "csv", with_full_paths=local)
    frame = pd.read_csv(io.BytesIO(data))
    assert frame["path"].tolist() == ["cats/b.jpg", "cats/a.jpg", "dogs/d.jpg"]
    assert frame["reason"][0] == "labelled cat, the model sees dog: 30.0 % of the pixels"
    assert ("full path" in frame) == local
    assert {"rank", "score", "class", "class_score", "doubtful", "gain", "image_id"} <= set(frame)
    of_dog = label_quality.export_work_list(query, RUN, "class-quality", "dog", "parquet", with_full_paths=local)
    assert set(pd.read_parquet(io.BytesIO(of_dog))["class"]) == {"dog"}


def test_without_scores_a_job_makes_them(store):
    truth_counting.update_counts(store, open_drawn(store.path.parent / "data" / "masks"), [RUN])
    app = opened("Evaluate", worst=["mistakes"], layer=["doubts"])
    assert not app.exception
    assert "has to look at its 3 photos once more" in plain(app)
    app.button(key="judge").click().run()
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert isinstance(job.request, JudgeRequest)
    assert (job.request.runs, job.request.truth) == ((RUN,), truth_id(store))
    assert "Likely mistakes in" in plain(app)


def test_some_photos_without_scores_are_counted(store, monkeypatch):
    masks = store.path.parent / "data" / "masks"
    judge(store, RUN, masks, monkeypatch, names=["a", "b"])
    truth_counting.update_counts(store, open_drawn(masks), [RUN])
    app = opened("Evaluate", worst=["quality"], layer=["doubts"])
    assert "n = 2 of 3 photos" in plain(app)
    assert len(tiles(app)) == 2
    assert app.button(key="judge").label == "Find likely mistakes"
