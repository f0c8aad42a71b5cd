"""The demo: shown until there are photos of one's own, kept apart from them, entered and left with one click."""

import pytest

from dashboard.settings import ServerSettings
from dashboard.workers.jobs import Job
from dashboard.workers.requests import RunRequest
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, id_of, make_run_config
from tests.dashboard.views.test_pages import asked, component, html, opened, said
from tests.dashboard.views.test_runs import choose

SAMPLE = {"cats/sample.jpg": {"cat": 40}, "cats/other.jpg": {"cat": 10}}
PAGES = ("Overview", "Explore", "Image", "Compare", "Evaluate")


@pytest.fixture
def demo(missing):
    """No store of one's own, and a demo of two photos."""
    fill_store(ServerSettings.read().demo.store, pixels=SAMPLE, folder="sample")
    return missing


@pytest.mark.parametrize("page", PAGES)
def test_the_demo_is_shown_with_one_line_and_one_way_on(demo, page):
    app = opened(page)
    assert not app.exception
    assert app.title[0].value in (page, r"cats\/other\.jpg")  # Image is called like its photo
    assert "This is a demo on sample photos" in said(app)
    primary = [button.key for button in app.button if button.proto.type == "primary"]
    assert primary == ["add_photos"] or page in ("Image", "Compare")  # which miss a photo and a second run here
    assert "demo" not in app.query_params
    app.button(key="add_photos").click().run()
    assert app.title[0].value == "Runs"
    assert "Start a run" in html(app)
    assert "There is no store yet" in said(app)
    assert "see_demo" not in [button.key for button in app.button]


def test_the_pictures_of_the_demo_come_from_its_store(demo):
    (first, *_) = component(opened("Explore"), "tiles")["tiles"]
    assert first["photo"].startswith("/media-api/demo/thumb/")
    assert first["mask"].startswith("/media-api/demo/overlay/")


def test_the_first_run_ends_the_demo_and_its_photos_enter_no_figure(demo):
    app = opened("Overview")
    assert "photos of 2" in html(app)
    fill_store(demo)  # the run of the same model has the same name
    app.run()
    assert "photos of 6" in html(app)
    assert "demo" not in said(app)
    assert sorted(Store(demo).table()["path"]) == sorted(
        name for name in Store(demo).table()["path"] if "sample" not in name
    )
    assert len(Store(demo).table()) == 6


def test_the_demo_is_visited_again_and_left_with_one_click(demo):
    fill_store(demo)
    app = opened("Runs", label=["dogs"])
    app.button(key="see_demo").click().run()
    assert app.title[0].value == "Overview"
    assert "photos of 2" in html(app)
    assert asked(app, "demo") == ["on"]
    assert "label" not in app.query_params
    assert "yours are kept apart" in said(app)
    app.button(key="leave_demo").click().run()
    assert "photos of 6" in html(app)
    assert "demo" not in app.query_params


def test_a_run_opened_from_runs_is_ones_own(demo):
    fill_store(demo)
    app = opened("Runs", demo=["on"])
    choose(app, make_run_config().run_name, "explore")
    assert "photos of 6" in html(app)
    assert "demo" not in app.query_params


def test_picked_photos_do_not_follow_into_another_store(demo):
    app = opened("Explore")
    app.session_state["tiles"] = None
    from dashboard.state.picked_photos import Picks

    app.session_state["_picks"] = Picks((id_of("cats/sample.jpg"),))
    app.run()
    assert app.session_state["_picks"]
    fill_store(demo)
    app.run()
    assert "_picks" not in app.session_state


def test_a_link_to_a_demo_that_is_not_there_says_so(full):
    app = opened("Overview", demo=["on"])
    assert "There is no demo here" in said(app)
    assert "photos of 6" in html(app)
    assert "demo" not in app.query_params


def test_a_damaged_demo_is_as_none(demo):
    (record,) = (demo / "demo").glob("runs/*/run.json")
    record.write_text("{")
    app = opened("Overview")
    assert not app.exception
    assert "Nothing has been analysed yet" in said(app)
    (demo / "demo" / "store.json").write_text("{")
    app = opened("Explore")
    assert not app.exception
    assert "Nothing has been analysed yet" in said(app)


def test_a_store_whose_runs_cannot_be_read_is_not_replaced_by_the_demo(full):
    fill_store(full / "demo", pixels=SAMPLE, folder="sample")
    (record,) = full.glob("runs/*/run.json")
    record.write_text("{")
    app = opened("Overview")
    assert "is damaged" in said(app)
    assert "demo" not in said(app)


def test_an_old_store_with_the_sample_in_it_stays_readable_and_can_lose_it(full):
    fill_store(full, pixels=SAMPLE, folder="sample")
    assert "photos of 8" in html(opened("Overview"))
    app = opened("Runs")
    (sample,) = [dataset for dataset in Store(full).datasets() if dataset.name == "sample"]
    app.button(key=f"forget:{sample.id}").click().run()
    app.button(key="forget").click().run()
    assert "photos of 6" in html(opened("Overview"))


def test_explore_of_a_finished_job_shows_the_photos_of_its_folder(full, monkeypatch):
    fill_store(full, pixels={"x/a.jpg": {"cat": 10}}, folder="more")
    from dashboard.workers.jobs import Jobs

    (more,) = [dataset for dataset in Store(full).datasets() if dataset.name == "more"]
    request = RunRequest(folder=more.id, title="more", model="fake_net", resize="64x64")
    job = Job(id="0" * 12, request=request, requested_ns=1, state="finished", run=make_run_config().run_name, total=1)
    monkeypatch.setattr(Jobs, "all", lambda self: [job])
    app = opened("Runs")
    app.button(key=f"explore:{job.id}").click().run()
    assert app.title[0].value == "Explore"
    assert asked(app, "dataset") == ["more"]
    assert component(app, "tiles")["total"] == 1
