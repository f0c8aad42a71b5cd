"""What is said of a job, live or ended."""

from dataclasses import replace

import pytest

from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job
from dashboard.workers.requests import EvaluateRequest, Request, RunRequest

NETWORK = RunRequest(folder="0" * 8, title="data/set", model="net", resize="224")
EVALUATION = EvaluateRequest(folder="0" * 8, title="data/masks", format="voc", runs=("a", "b"))


def job_of(state: str, request: Request = NETWORK, **known) -> Job:
    return Job(id="0" * 12, request=request, requested_ns=1, state=state, **known)


def test_jobs_call_runs_by_their_titles():
    assert job_status.headline(job_of("running", EVALUATION)) == "Evaluation of a, b against data/masks"
    assert job_status.headline(job_of("running", EVALUATION), {"a": "Mine · 224"}) == (
        "Evaluation of Mine · 224, b against data/masks"
    )
    offered = replace(NETWORK, model="offered:00000001", model_title="a.onnx (ONNX)", resize="")
    assert job_status.headline(job_of("running", offered)) == "a.onnx (ONNX) · its own size · auto, on data/set"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (job_of("starting"), "Getting ready"),
        (job_of("running", note="Calibrating."), "Calibrating."),
        (job_of("waiting"), "Waiting: 2 jobs ahead"),
        (job_of("running", total=10, reused=3), "3 of 10 photos · loading the model"),
        (
            job_of("running", total=500, computed=99, failed=1, images_per_second=7.96, seconds_left=100.2),
            "100 of 500 photos · 8.0 photos/s · about 2 min left · 1 unreadable",
        ),
        (job_of("running", total=10, stopping_seconds=1.0), "Stopping; what is computed is kept"),
        (
            job_of("running", EVALUATION, total=600, computed=30, images_per_second=50.0),
            "30 of 600 masks · 50.0 masks/s",
        ),
    ],
)
def test_progress_in_words(job, words):
    assert job_status.progress(job, before=2) == words


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            job_of("finished", total=3, computed=2, failed=1, images_per_second=4.04, device="cpu"),
            "Finished: 3 photos, 2 computed, 0 already known, 1 unreadable, 4.0 photos/s on cpu.",
        ),
        (
            job_of("finished", total=1, reused=1),
            "Finished: 1 photo, 0 computed, 1 already known, 0 unreadable.",
        ),
        (job_of("cancelled"), "Cancelled."),
        (
            job_of("lost", total=9, computed=4),
            "Its process ended without a message after 4 of 9 photos; they are kept.",
        ),
        (job_of("failed", sentence="There is no memory."), "Failed: There is no memory."),
        (
            job_of("finished", EVALUATION, total=6, computed=2, reused=3, failed=1),
            "Finished: 6 masks, 2 counted, 3 already known, 1 without a readable mask.",
        ),
    ],
)
def test_outcomes_in_words(job, words):
    assert job_status.outcome(job) == words
