"""The bar on top of every page while a job runs, and the line once it has ended."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.offers.photo_folders import describe_path
from dashboard.views import progress_bar
from dashboard.workers.jobs import Job, process_identity
from dashboard.workers.requests import CompareRequest, EvaluateRequest, RunRequest, to_record
from seglib.evaluation import comparison
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.views.test_pages import asked, html, opened, said

JOB = "0123456789ab"
RUN = make_run_config(1).run_name
REQUEST = RunRequest(folder="0" * 8, title="My class photos", model="fake_net", resize="64x64")
BAR = "<div class='progress-bar"
COMPARISON = CompareRequest(runs=("a", "b"))
EVALUATION = EvaluateRequest(folder="0" * 8, title="masks", format="voc", runs=("a",))


def job_of(state: str, request=REQUEST, **known) -> Job:
    return Job(id=JOB, request=request, requested_ns=1, state=state, **known)


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        (
            [job_of("running", computed=60, reused=4, total=500, seconds_left=87.2)],
            "My class photos: 64 of 500, 88 s left",
        ),
        ([job_of("running", total=500)], "My class photos: 0 of 500"),
        ([job_of("starting")], "My class photos: getting ready"),
        ([job_of("waiting"), job_of("waiting")], "My class photos: waiting · 1 more job"),
        ([job_of("running", total=5, stopping_seconds=1.0)], "My class photos: stopping"),
        ([job_of("running", COMPARISON, total=5), *[job_of("waiting")] * 2], "Comparison: 0 of 5 · 2 more jobs"),
        ([job_of("running", EVALUATION, total=5)], "Evaluation against masks: 0 of 5"),
    ],
)
def test_the_bar_in_words(jobs, words):
    assert progress_bar.describe(jobs) == words


def test_figures_are_partial_while_their_run_is_computed():
    live = [job_of("running", COMPARISON, total=5), job_of("running", run="r", computed=64, total=500)]
    assert progress_bar.partial_note(live, {"r"}) == "Partial: 64 of 500 photos so far"
    assert progress_bar.partial_note(live, {"r"}, "Mine · 224") == "Partial: 64 of 500 photos of Mine · 224 so far"
    assert progress_bar.partial_note(live, {"s"}) == ""
    verify = job_of("running", replace(REQUEST, verify=True), run="r", computed=64, total=500)
    assert progress_bar.partial_note([verify], {"r"}) == ""
    assert progress_bar.partial_note([job_of("running", run="r", computed=5, total=5)], {"r"}) == ""


# --- on the pages ---


def write_job(store: Path, state: str, request=REQUEST, job_id: str = JOB, **known: object) -> None:
    """A job whose worker is this process."""
    folder = store / "jobs" / job_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "request.json").write_text(json.dumps({"asked": time.time_ns(), **to_record(request)}))
    (folder / "process.json").write_text(json.dumps(process_identity(os.getpid())))
    (folder / "state.json").write_text(json.dumps({"state": state, **known}))


@pytest.mark.parametrize("page", ["Overview", "Explore", "Image", "Compare", "Evaluate", "Try"])
def test_what_runs_is_on_every_page_with_a_way_to_it(full, page):
    comparison.update_counts(Store(full), [RUN, fill_store(full, code_schema=2).run])  # else Compare starts a job
    app = opened(page, run=[RUN])
    assert BAR not in html(app)
    write_job(full, "running", total=500, computed=64, run=RUN)
    app.run()  # one that was started elsewhere appears with the next rerun
    assert not app.exception
    assert "My class photos: 64 of 500" in html(app)
    partial = page in ("Overview", "Explore", "Compare", "Evaluate")
    assert ("Partial: 64 of 500 photos" in html(app)) == partial
    app.button(key="progress_bar:runs").click().run()
    assert app.title[0].value == "Runs"
    assert BAR not in html(app)


def test_the_end_is_told_once_and_leads_to_the_photos(full):
    request = RunRequest(folder=describe_path(full.parent / "photos", "").id, title="Mine", model="m", resize="64x64")
    write_job(full, "running", request, total=6, computed=2, run=RUN)
    app = opened("Overview", label=["cats"])
    write_job(full, "finished", request, total=6, computed=6, run=RUN)
    app.run()
    assert "Mine: finished, 6 photos" in html(app)
    assert "Partial" not in html(app)
    assert "progress_bar:runs" not in [button.key for button in app.button]
    assert "Mine: finished" in html(app.run())  # until it is dismissed
    app.button(key=f"look:{JOB}").click().run()
    assert app.title[0].value == "Explore"
    assert (asked(app, "run"), asked(app, "dataset")) == ([RUN], ["photos"])
    assert "label" not in app.query_params
    assert "Mine: finished" not in html(app.run())
    assert "Mine: finished" not in html(opened("Overview"))  # who did not wait for it is not told


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("failed", "My class photos: Failed: There is no memory."),
        ("lost", "ended without a message"),
        ("cancelled", ""),
    ],
)
def test_how_else_a_job_may_end(full, state, words):
    write_job(full, "running", total=6, computed=2)
    app = opened("Overview")
    write_job(full, state, total=6, computed=2, sentence="There is no memory.")
    app.run()
    assert words in html(app)
    assert [button.key for button in app.button if button.key == f"dismiss:{JOB}"] == [f"dismiss:{JOB}"] * bool(words)
    if words:
        app.button(key=f"dismiss:{JOB}").click().run()
        assert words not in html(app)
        assert app.title[0].value == "Overview"


def test_a_page_that_shows_its_own_job_needs_no_bar(full):
    comparison.update_counts(Store(full), [RUN, fill_store(full, code_schema=2).run])
    write_job(full, "running", CompareRequest(runs=("x", "y")), total=6, computed=2)
    assert "Comparison: 2 of 6" in html(opened("Explore"))
    app = opened("Compare")
    assert BAR not in html(app)
    write_job(full, "finished", CompareRequest(runs=("x", "y")), total=6, computed=6)
    assert "finished" not in html(app.run())


def test_a_finished_comparison_is_looked_at_on_its_page(full):
    other = fill_store(full, code_schema=2).run
    comparison.update_counts(Store(full), [RUN, other])
    request = CompareRequest(runs=(other, RUN))
    write_job(full, "running", request, total=6, computed=2)
    app = opened("Explore")
    write_job(full, "finished", request, total=6, computed=6)
    app.run()
    app.button(key=f"look:{JOB}").click().run()
    assert app.title[0].value == "Compare"
    assert asked(app, "run") == [other]
    assert asked(app, "against") == [RUN]
    assert not said(app).startswith("There is no run")
