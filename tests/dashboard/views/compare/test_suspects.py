"""Masks that look wrong on the Compare page, through Streamlit's own test driver."""

import io

import pandas as pd
import pytest

from dashboard.queries import comparison as comparison_queries
from dashboard.queries.mistakes import suspects as suspect_queries
from dashboard.queries.source import RunSource
from dashboard.settings import ServerSettings
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import SuspectsRequest
from seglib.evaluation import comparison
from seglib.evaluation.mistakes import suspects
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, fill_store, id_of, make_run_config
from tests.dashboard.views.compare.test_compare import plain, tiles
from tests.dashboard.views.image.test_image import place, shown
from tests.dashboard.views.test_pages import asked, opened
from tests.dashboard.views.test_runs import _init_quiet

RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name


@pytest.fixture
def two(full, monkeypatch) -> Store:
    """Two runs that are both sure of `dogs/d`, where one sees a dog and the other a cat; workers that do nothing."""
    fill_store(full, code_schema=2, pixels=PIXELS | {"dogs/d.jpg": {"cat": 80}})
    store = Store(full)
    comparison.update_counts(store, [RUN, OTHER])
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    return store


def test_suspects_are_listed_with_their_reasons_before_the_masks_are_measured(two):
    app = opened("Compare", run=[RUN], measure=["suspects"])
    assert not app.exception
    assert [tile["name"] for tile in tiles(app)] == ["dogs/d.jpg", "cats/b.jpg"]
    first, second = tiles(app)
    assert first["lines"][0].startswith("Disagreement on 100\xa0% of the objects: fake_net")
    assert second["lines"] == ["The folder says cats, the model dog"]
    assert first["mask"].startswith(f"/media-api/overlay/{RUN}/")
    assert first["bar"][0][0] == "dog"
    assert "2 of 6 photos" in plain(app)
    assert app.button(key="look_at_masks").label == "Look at 6 masks"
    app.button(key="look_at_masks").click().run()
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert isinstance(job.request, SuspectsRequest)
    assert job.request.runs == (RUN,)
    assert "Look at the masks of" in plain(app)


def test_measured_masks_add_what_the_frame_cuts(two):
    suspects.update_oddities(two, two.run(RUN))
    app = opened("Compare", run=[RUN], measure=["suspects"])
    assert not app.exception
    assert all(button.key != "look_at_masks" for button in app.button)
    reasons = {tile["name"]: tile["lines"] for tile in tiles(app)}
    assert "of the outline of dog lies on the frame" in reasons["dogs/d.jpg"][1]
    assert len(reasons) > 2
    app = opened("Image", run=[RUN], measure=["suspects"], image=[id_of("dogs/d.jpg")], **{"from": ["compare"]})
    assert place(app)[1] == len(reasons)
    assert shown(app)["look"]["difference"] == ""


def test_the_switch_and_a_filter(two):
    app = opened("Compare", run=[RUN])
    app.segmented_control(key="w:compare_list").set_value("suspects").run()
    assert not app.exception
    assert asked(app, "measure") == ["suspects"]
    app.segmented_control(key="w:compare_list").set_value("differing").run()
    assert "measure" not in app.query_params
    assert "masks that look wrong first" not in app.selectbox(key="w:measure").options
    app = opened("Compare", run=[RUN], measure=["suspects"], label=["cats"])
    assert [tile["name"] for tile in tiles(app)] == ["cats/b.jpg"]


@pytest.mark.parametrize("local", [True, False])
def test_the_work_list_has_each_reason(two, local):
    run_source = RunSource(str(two.path), f"{two.version(with_tags=False)}-0", RUN)
    query = comparison_queries.comparison_query(run_source, [RUN, OTHER], Filters())
    frame = pd.read_csv(io.BytesIO(suspect_queries.export_work_list(query, "csv", with_full_paths=local)))
    assert frame["path"].tolist() == ["dogs/d.jpg", "cats/b.jpg"]
    assert ("full path" in frame) == local
    assert frame[list(suspects.REASONS)].notna().sum().to_dict() == dict.fromkeys(suspects.REASONS, 0) | {
        "models": 1,
        "folder": 1,
    }
    parquet = suspect_queries.export_work_list(query, "parquet", with_full_paths=local)
    assert len(pd.read_parquet(io.BytesIO(parquet))) == 2
