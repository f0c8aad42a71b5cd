"""Compare counts by itself, or by a button, and which runs it compares."""

import pytest

from dashboard.settings import ServerSettings
from dashboard.state.view import View
from dashboard.views.compare import counting
from dashboard.views.compare.selection import chosen_state, compared_runs
from dashboard.workers import jobs
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import MAX_COMPARED_RUNS, CompareRequest
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, id_of, make_run_config
from tests.dashboard.views.compare.test_compare import plain
from tests.dashboard.views.test_pages import html, opened

A, B, C = (make_run_config(schema).run_name for schema in (1, 2, 3))


def test_few_photos_are_counted_by_themselves(uncounted):
    app = opened("Compare", run=[A])
    assert not app.exception
    (job,) = Jobs(ServerSettings.read()).all()
    assert job.request == CompareRequest(runs=(A, B))
    assert app.button(key=f"stop:{job.id}").label == "Cancel"
    opened("Compare", run=[B])  # another visit, the other way round
    assert len(Jobs(ServerSettings.read()).all()) == 1


def test_many_photos_wait_for_a_button(uncounted, monkeypatch):
    monkeypatch.setattr(counting, "MAX_UNASKED_PHOTOS", 5)
    app = opened("Compare", run=[A])
    assert Jobs(ServerSettings.read()).all() == []
    assert app.button(key="count").label == "Compare 6 photos"
    app.button(key="count").click().run()
    assert len(Jobs(ServerSettings.read()).all()) == 1
    assert not app.exception


def test_a_store_that_cannot_be_written_is_a_sentence(uncounted, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(jobs, "write_json", refuse)
    app = opened("Compare", run=[A])
    assert not app.exception
    assert "The store cannot be written (Read-only file system)" in plain(app)


def test_photos_that_cannot_be_counted_are_said_and_left_out(two):
    store = Store(two)
    fill_store(two, code_schema=2, pixels={"cats/new.jpg": {"cat": 1}})
    fill_store(two, pixels={"cats/new.jpg": {"cat": 1}})
    store.mask_path(A, id_of("cats/new.jpg")).unlink()
    done = Job(id="0" * 12, request=CompareRequest(runs=(A, B)), requested_ns=1, state="finished", total=7, failed=1)
    app = opened("Compare", run=[A])
    assert "n = 6 of 7 photos" in html(app)
    assert counting.should_start(1, None)
    assert not counting.should_start(1, done)
    assert counting.should_start(2, done)


@pytest.mark.parametrize("state", ["cancelled", "failed", "lost"])
def test_what_was_stopped_does_not_start_itself_again(state):
    assert not counting.should_start(
        5, Job(id="0" * 12, request=CompareRequest(runs=(A, B)), requested_ns=1, state=state)
    )


def test_which_runs_are_compared():
    names = ["n", "m", "l", "k", "j", "i", "h"]  # most recently used first
    assert compared_runs(View(), "m", names) == ["m", "n", "l", "k"]
    assert compared_runs(View(against="h"), "m", names) == ["m", "h", "n", "l", "k"]
    assert compared_runs(View(runs=("h", "m")), "m", names) == ["m", "h"]
    assert compared_runs(View(runs=("m",)), "m", names) == ["m", "n", "l", "k"]
    assert compared_runs(View(against="m", runs=("i", "j")), "m", names) == ["m", "j", "i"]
    assert len(compared_runs(View(runs=tuple(names)), "m", names)) == MAX_COMPARED_RUNS
    assert compared_runs(View(), "m", ["m"]) == ["m"]


def test_choosing_runs_keeps_a_and_the_usual_ones_leave_no_trace():
    names = ["n", "m", "l", "k", "j"]
    assert chosen_state(View(), "m", names, ["n", "l", "k", "m"])["runs"] == ()
    assert chosen_state(View(against="l"), "m", names, ["l", "j"]) == {"runs": ("j", "l", "m"), "against": "l"}
    assert chosen_state(View(against="l"), "m", names, ["n"]) == {"runs": ("m", "n"), "against": ""}
    assert chosen_state(View(), "m", names, [])["runs"] == ()
