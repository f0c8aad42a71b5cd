"""The real worker: runs that are cancelled, resumed, finished, failed; how fast it says it is."""

import shutil
from dataclasses import replace

import pytest

from dashboard.workers import job_log, jobs
from dashboard.workers.job_worker import Throughput
from seglib.store.store import Store
from tests.dashboard.workers.conftest import has_ended, is_running, until


@pytest.mark.slow
def test_a_run_is_cancelled_resumed_and_finished(made, request_, settings, monkeypatch, tmp_path):
    """The real worker and the embedded net; only the forward pass is slowed down, so that there is time to cancel."""
    slow = (
        "import pathlib, sys, time; from seglib.inference import predictor; from dashboard.workers import job_worker\n"
        "real = predictor.predict_batch\n"
        "def slow(*a): time.sleep(0.7); return real(*a)\n"
        "predictor.predict_batch = slow\n"
        "job_worker.main(pathlib.Path(sys.argv[1]))"
    )
    some = made(slow)
    first = some.start(request_)
    job = until(some, lambda job: job.computed >= 8)
    assert (job.state, job.total, job.precision) == ("running", 40, "fp32")
    waiting = some.start(replace(request_, resize="32"))
    until(some, lambda job: job.state == "waiting")  # one at a time
    some.stop(waiting.id)
    some.stop(first.id)
    until(some, lambda _: not any(job.live for job in some.all()))
    states = {job.id: job for job in some.all()}
    assert {job.state for job in states.values()} == {"cancelled"}
    store = Store(settings.store)
    kept = len(store.table())
    assert 8 <= kept < 40
    assert states[first.id].computed == kept

    some.forget(waiting.id)
    made(None).resume(first.id)
    job = until(some, has_ended)
    assert (job.state, job.id, job.sentence) == ("finished", first.id, "")
    assert (job.total, job.reused, job.computed) == (40, kept, 40 - kept)
    assert job.images_per_second
    assert job.run == store.runs()[0].run
    assert len(store.table()) == 40
    assert str(tmp_path) not in (settings.store / "jobs" / job.id / "state.json").read_text()
    log = job_log.read_log(settings, first.id)
    assert "UTC  running" in log
    assert f"finished: 40 photos or masks, {40 - kept} computed, {kept} known, 0 failed" in log


@pytest.mark.slow
def test_a_failure_is_a_sentence_without_a_place(made, request_, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    some = made(None)
    some.start(replace(request_, model="lraspp_mobilenet_v3_large"))
    job = until(some, has_ended)
    assert job.state == "failed"
    assert "downloading it failed" in job.sentence
    assert str(tmp_path) not in job.sentence


@pytest.mark.slow
def test_a_run_without_a_readable_photo_has_failed(made, request_, settings):
    for photo in settings.photo_folders[0].rglob("*.jpg"):
        photo.write_bytes(b"")
    some = made(None)
    some.start(request_)
    job = until(some, has_ended)
    assert (job.state, job.failed, job.sentence) == ("failed", 40, "None of the 40 photos can be read.")


@pytest.mark.slow
def test_a_worker_whose_job_is_taken_away_ends(made, request_, settings):
    code = (
        "import pathlib, sys, time; from dashboard.workers import job_worker\n"
        "job_worker.run_job = lambda *_: time.sleep(60)\n"
        "job_worker.main(pathlib.Path(sys.argv[1]))"
    )
    some = made(code)
    some.start(request_)
    until(some, is_running)
    shutil.rmtree(settings.store)
    assert jobs._children[-1].wait(30) == 0
    assert not settings.store.exists()


@pytest.mark.slow
def test_a_worker_that_another_machine_asks_to_stop_ends(made, request_, settings):
    code = (
        "import pathlib, sys, time; from dashboard.workers import job_worker\n"
        "job_worker.run_job = lambda *_: time.sleep(60)\n"
        "job_worker.main(pathlib.Path(sys.argv[1]))"
    )
    some = made(code)
    some.start(request_)
    job = until(some, is_running)
    (settings.store / "jobs" / job.id / "stop").touch()  # no signal reaches it
    assert until(some, has_ended, 30).state == "cancelled"


def test_pace_leaves_out_the_networks_start_and_forgets_the_past():
    pace = Throughput()
    assert pace.per_second() is None
    pace.add(0, 0)
    pace.add(100, 4)  # a hundred seconds of loading
    assert pace.per_second() is None
    pace.add(101, 8)
    assert pace.per_second() == pytest.approx(4)
    for second in range(102, 202):
        pace.add(second, 8 + (second - 101))
    assert pace.per_second() == pytest.approx(1)
