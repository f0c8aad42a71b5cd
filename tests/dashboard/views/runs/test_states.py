"""The state of a run in a word."""

from dataclasses import replace

import pytest

from dashboard.queries.runs.pending import StoreCounts
from dashboard.views.runs.states import is_superseded, newest_job, run_state
from dashboard.workers.jobs import Job
from dashboard.workers.requests import CompareRequest, RunRequest
from seglib.pipeline.run import describe_run
from tests.dashboard.conftest import make_run_config

REQUEST = RunRequest(folder="0" * 8, title="photos", model="net", resize="224")


def job(state: str, done: int, total: int, run: str = "r") -> Job:
    return Job(id="0" * 12, request=REQUEST, requested_ns=1, state=state, run=run, computed=done, total=total)


@pytest.mark.parametrize(
    ("counts", "newest", "missing", "wrong", "text", "tone"),
    [
        (None, None, [], "", "checking …", "partial"),
        (StoreCounts(0, 0), None, [], "", "done", ""),
        (StoreCounts(500, 500), job("finished", 500, 500), [], "", "done", ""),
        (StoreCounts(500, 64), None, [], "", "partial, 64 of 500", "partial"),
        (StoreCounts(64, 64), job("cancelled", 64, 1500), [], "", "partial, 64 of 1,500", "partial"),
        (StoreCounts(64, 64), job("lost", 64, 500), [], "", "partial, 64 of 500", "partial"),
        (StoreCounts(64, 64), job("running", 64, 500), ["photos"], "", "running, 64 of 500", "running"),
        (None, job("running", 0, 0), [], "", "running", "running"),
        (StoreCounts(500, 64), None, ["photos"], "", "needs its folder", "problem"),
        (None, job("running", 64, 500), ["photos"], "A part is damaged.", "cannot be read", "problem"),
    ],
)
def test_states(counts, newest, missing, wrong, text, tone):
    state = run_state(counts, newest, missing, wrong)
    assert (state.text, state.tone) == (text, tone)
    assert wrong in state.note
    assert (tone == "problem") == bool(state.note)


def test_a_job_that_was_stopped_is_history_once_the_run_was_completed_elsewhere():
    run = describe_run(make_run_config(), parameters=1, versions={})
    stopped = job("cancelled", 64, 500)  # asked for in 1970
    own = {"started": "2026-11-27T17:45:30.1+00:00", "seconds": 1.0, "computed": 60, "reused": 3, "failed": 1}
    assert not is_superseded(stopped, run)
    assert not is_superseded(stopped, replace(run, invocations=[own]))
    later = own | {"computed": 436, "reused": 63}
    assert is_superseded(stopped, replace(run, invocations=[own, later]))
    new = replace(stopped, requested_ns=2 * 10**18)  # after it
    assert not is_superseded(new, replace(run, invocations=[own, later]))


def test_the_newest_job_of_a_run_is_one_that_computed_photos():
    other = Job(id="1" * 12, request=CompareRequest(runs=("r", "s")), requested_ns=3, state="finished", run="r")
    jobs = [other, job("failed", 1, 2), job("finished", 2, 2), job("finished", 2, 2, run="s")]
    assert newest_job(jobs, "r") is jobs[1]
    assert newest_job(jobs, "t") is None
