"""Jobs: what a page is told of a process, whatever becomes of it; and real runs, cancelled and resumed."""

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.settings import ServerSettings
from dashboard.workers import jobs
from dashboard.workers.job_worker import Throughput
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.photo_folders import find_folders
from dashboard.workers.requests import CalibrateRequest, CompareRequest, EvaluateRequest, RunRequest
from seglib.errors import SegError
from seglib.evaluation import comparison, evaluation
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, draw_truth, fill_store, id_of, make_run_config

FAKE = """
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def say(**about):
    (folder / "new").write_text(json.dumps(about))
    os.replace(folder / "new", folder / "state.json")
def stop(*_):
    say(state="cancelled", computed=1, total=2)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
say(state="running", computed=1, total=2)
time.sleep(60)
"""
"""A worker that does nothing, and ends when it is told to."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(80):
        noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).resize((160, 120)).save(folder / f"{number:02}.jpg")
    return folder


@pytest.fixture
def settings(tmp_path, photos) -> ServerSettings:
    shutil.copytree(photos, tmp_path / "data" / "set" / "cats")
    return ServerSettings(store=tmp_path / "store", photo_folders=(tmp_path / "data",))


@pytest.fixture
def request_(settings) -> RunRequest:
    folder = find_folders(settings.photo_folders)[0]
    return RunRequest(folder=folder.id, title=folder.title, model="fcn_mobilenet_v2", resize="64", precision="fp32")


@pytest.fixture
def made(settings):
    """Makes `Jobs` over workers that run this code; whatever is left of them at the end is killed."""

    def make(code: str | None = FAKE) -> Jobs:
        return Jobs(settings) if code is None else Jobs(settings, (sys.executable, "-c", code))

    yield make
    for process in list(jobs._children):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(some: Jobs, done, seconds: float = 90) -> Job:
    """The newest job, as soon as `done` of it holds."""
    deadline = time.monotonic() + seconds
    while not done(job := some.all()[0]):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def is_running(job: Job) -> bool:
    return job.state == "running"


def has_ended(job: Job) -> bool:
    return not job.live


def process_of(some: Jobs, job: Job) -> tuple[Path, dict]:
    file = some.settings.store / "jobs" / job.id / "process.json"
    return file, json.loads(file.read_text())


# --- the states ---


def test_a_job_is_seen_from_anywhere_and_stops_when_told(made, request_, settings):
    started = made().start(request_)
    assert started.state in ("starting", "running")
    other = Jobs(settings)  # another visit, or the server after a restart
    job = until(other, is_running)
    assert (job.id, job.request, job.computed, job.total) == (started.id, request_, 1, 2)
    other.stop(job.id)
    assert until(other, has_ended).state == "cancelled"
    assert other.all()[0].stopping_seconds is not None


def test_a_process_that_vanishes_is_lost_and_never_alive(made, request_):
    some = made()
    some.start(request_)
    job = until(some, is_running)
    os.killpg(process_of(some, job)[1]["pid"], signal.SIGKILL)
    assert until(some, has_ended).state == "lost"


def test_a_process_that_dies_at_once_is_lost(made, request_):
    some = made("import sys; sys.exit(1)")
    some.start(request_)
    assert until(some, has_ended).state == "lost"


def test_one_that_was_told_to_stop_and_died_is_cancelled(made, request_):
    some = made("import time; time.sleep(60)")
    some.stop(some.start(request_).id)
    assert until(some, has_ended).state == "cancelled"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize(("part", "value"), [("started", "1"), ("boot", "0" * 8), ("pid", 2**22 + 1)])
def test_another_process_with_the_same_number_is_not_the_job(made, request_, part, value):
    some = made()
    some.start(request_)
    job = until(some, is_running)
    file, process = process_of(some, job)
    file.write_text(json.dumps(process | {part: value}))
    assert some.all()[0].state == "lost"
    some.stop(job.id)  # and is not shot at
    os.kill(process["pid"], 0)


def test_a_job_of_another_machine_is_known_by_its_beat(made, request_):
    some = made()
    some.start(request_)
    job = until(some, is_running)
    file, process = process_of(some, job)
    file.write_text(json.dumps(process | {"host": "elsewhere"}))
    assert some.all()[0].state == "running"
    os.utime(file.with_name("state.json"), (1, 1))
    assert some.all()[0].state == "lost"


def test_a_job_whose_server_ended_before_it_began(made, request_, monkeypatch):
    some = made()
    job = some.start(request_)
    until(some, is_running)
    process_of(some, job)[0].unlink()
    assert some.all()[0].state == "running"
    monkeypatch.setattr(jobs, "START_TIMEOUT_SECONDS", -1)
    assert some.all()[0].state == "lost"


def test_one_that_does_not_listen_is_ended_the_hard_way(made, request_, monkeypatch):
    deaf = FAKE.replace("signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    some = made(deaf)
    some.start(request_)
    job = until(some, is_running)
    some.stop(job.id)
    some.stop(job.id)  # impatience changes nothing
    assert some.all()[0].live
    monkeypatch.setattr(jobs, "KILL_AFTER_SECONDS", -1)
    some.stop(job.id)
    assert until(some, has_ended).state == "cancelled"


def test_damaged_records_are_not_shown_and_harm_nobody(made, request_, settings):
    some = made()
    some.start(request_)
    for name, text in (("0" * 12, "{"), ("1" * 12, "[]")):
        (settings.store / "jobs" / name).mkdir()
        (settings.store / "jobs" / name / "request.json").write_text(text)
    assert len(some.all()) == 1


def test_a_store_that_is_gone_has_no_jobs(made, request_, settings):
    some = made()
    job = some.start(request_)
    until(some, is_running)
    shutil.rmtree(settings.store)
    assert some.all() == []
    with pytest.raises(SegError, match="no longer exists"):
        some.stop(job.id)


# --- what may be asked for ---


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("folder", "/etc", "--data"),
        ("folder", "../outside", "--data"),
        ("model", "../../model.pth", "no model"),
        ("resize", "99999", "A resize is"),
        ("precision", "int1", "A precision is"),
        ("limit", 0, "At least one photo"),
    ],
)
def test_only_what_is_offered_can_be_started(made, request_, settings, part, value, said):
    with pytest.raises(SegError, match=said):
        made().start(replace(request_, **{part: value}))
    assert not settings.store.exists()


@pytest.mark.parametrize("job_id", ["", "..", "../../etc", "0" * 12, "0" * 11 + "/"])
def test_only_known_jobs_can_be_touched(made, request_, job_id):
    some = made()
    some.start(request_)
    for touch in (some.stop, some.resume, some.forget):
        with pytest.raises(SegError):
            touch(job_id)


def test_the_same_work_is_not_done_twice_at_a_time(made, request_):
    some = made()
    job = some.start(request_)
    with pytest.raises(SegError, match="running on data/set already"):
        some.start(replace(request_, limit=3))
    some.start(replace(request_, resize="32"))
    some.stop(job.id)
    until(some, lambda _: not next(j for j in some.all() if j.id == job.id).live)
    assert some.start(request_).live


def test_only_so_many_may_wait(made, request_, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_LIVE_JOBS", 1)
    some = made()
    some.start(request_)
    with pytest.raises(SegError, match="already waiting"):
        some.start(replace(request_, resize="32"))


def test_no_place_is_written_into_a_record(made, request_, settings):
    some = made()
    some.start(request_)
    until(some, is_running)
    for file in settings.store.glob("jobs/*/*"):
        assert str(settings.photo_folders[0]) not in file.read_text()


def test_ended_jobs_can_be_forgotten_and_old_ones_are(made, request_, monkeypatch):
    monkeypatch.setattr(jobs, "MAX_ENDED_JOBS", 2)
    some = made("")
    for _ in range(4):
        some.start(request_)
        until(some, has_ended)
    assert len(some.all()) == 2
    some.forget(some.all()[0].id)
    assert len(some.all()) == 1


def test_a_live_job_is_not_forgotten(made, request_):
    some = made()
    job = some.start(request_)
    some.forget(job.id)
    assert some.all()[0].live


# --- the worker ---


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
    assert (job.state, job.total, job.precision) == ("running", 80, "fp32")
    waiting = some.start(replace(request_, resize="32"))
    until(some, lambda job: job.state == "waiting")  # one at a time
    some.stop(waiting.id)
    some.stop(first.id)
    until(some, lambda _: not any(job.live for job in some.all()))
    states = {job.id: job for job in some.all()}
    assert {job.state for job in states.values()} == {"cancelled"}
    store = Store(settings.store)
    kept = len(store.table())
    assert 8 <= kept < 80
    assert states[first.id].computed == kept

    some.forget(waiting.id)
    made(None).resume(first.id)
    job = until(some, has_ended)
    assert (job.state, job.id, job.sentence) == ("finished", first.id, "")
    assert (job.total, job.reused, job.computed) == (80, kept, 80 - kept)
    assert job.images_per_second
    assert job.run == store.runs()[0].run
    assert len(store.table()) == 80
    assert str(tmp_path) not in (settings.store / "jobs" / job.id / "state.json").read_text()


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


def test_a_folder_that_is_gone_when_its_turn_comes(made, request_, settings):
    some = made(None)
    shutil.move(settings.photo_folders[0] / "set", settings.photo_folders[0].parent / "elsewhere")
    with pytest.raises(SegError, match="no longer"):
        some.start(request_)


@pytest.mark.slow
def test_a_run_without_a_readable_photo_has_failed(made, request_, settings):
    for photo in settings.photo_folders[0].rglob("*.jpg"):
        photo.write_bytes(b"")
    some = made(None)
    some.start(request_)
    job = until(some, has_ended)
    assert (job.state, job.failed, job.sentence) == ("failed", 80, "None of the 80 photos can be read.")


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


# --- another kind of work ---


@pytest.fixture
def pair(settings) -> CompareRequest:
    """Two runs of the same six photos, of which one mask is missing."""
    fill_store(settings.store)
    fill_store(settings.store, code_schema=2, pixels=PIXELS | {"cats/a.jpg": {"dog": 50}})
    Store(settings.store).mask_path(make_run_config().run_name, id_of("dogs/e.jpg")).unlink()
    return CompareRequest(runs=(make_run_config().run_name, make_run_config(2).run_name))


@pytest.mark.slow
def test_a_comparison_is_counted_by_the_same_machinery(made, pair, settings):
    assert comparison.count_pending(Store(settings.store), pair.runs) == (6, 6)
    made(None).start(pair)
    job = until(made(None), has_ended)
    assert (job.state, job.request) == ("finished", pair)
    assert (job.total, job.computed, job.reused, job.failed) == (6, 5, 0, 1)
    assert comparison.count_pending(Store(settings.store), pair.runs) == (6, 1)
    made(None).resume(job.id)
    again = until(made(None), has_ended)
    assert (again.computed, again.reused, again.failed) == (0, 5, 1)


@pytest.mark.slow
def test_it_waits_for_its_own_kind_and_not_for_a_network(made, pair, request_):
    busy = made()
    busy.start(request_)
    until(busy, is_running)
    made(None).start(pair)
    assert until(busy, has_ended).request == pair
    assert [job.live for job in busy.all()] == [False, True]
    busy.start(pair)
    until(busy, is_running)
    Store.create(busy.settings.store)
    fill_store(busy.settings.store, code_schema=3)
    made(None).start(CompareRequest(runs=(make_run_config().run_name, make_run_config(3).run_name)))
    assert until(busy, lambda job: job.state == "waiting").request.runs[1] == make_run_config(3).run_name


def test_only_runs_of_the_store_can_be_compared_and_only_once_at_a_time(made, pair):
    some = made()
    for runs, said in (
        (pair.runs[:1], "2 to 6 different runs"),
        (pair.runs[:1] * 2, "2 to 6 different runs"),
        ((*pair.runs, "../../etc"), "no run"),
    ):
        with pytest.raises(SegError, match=said):
            some.start(CompareRequest(runs=runs))
    some.start(pair)
    with pytest.raises(SegError, match="running already"):
        some.start(CompareRequest(runs=pair.runs[::-1]))


@pytest.mark.slow
def test_runs_without_a_common_photo_are_said_to_have_none(made, settings):
    fill_store(settings.store)
    fill_store(settings.store, code_schema=2, pixels={"cats/other.jpg": {"cat": 5}})
    made(None).start(CompareRequest(runs=(make_run_config().run_name, make_run_config(2).run_name)))
    job = until(made(None), has_ended)
    assert (job.state, job.sentence) == ("failed", "There is no photo that all of these runs have computed.")


def test_a_store_that_cannot_be_written_is_a_sentence(made, pair, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(jobs, "write_json", refuse)
    with pytest.raises(SegError, match=r"The store cannot be written \(Read-only file system\)"):
        made().start(pair)


def test_a_record_of_a_kind_that_is_not_known_is_not_shown(made, pair, settings):
    some = made()
    job = some.start(pair)
    file = settings.store / "jobs" / job.id / "request.json"
    about = json.loads(file.read_text())
    for changed in (about | {"kind": "dance"}, {name: about[name] for name in ("kind", "asked")}):
        file.write_text(json.dumps(changed))
        assert some.all() == []
    file.write_text(json.dumps(about))


# --- evaluations ---


@pytest.fixture
def grading(tmp_path, settings) -> EvaluateRequest:
    """A run of six photos, three of which have a mask in an offered folder."""
    fill_store(settings.store)
    draw_truth(settings.photo_folders[0] / "masks")
    (folder,) = [f for f in find_folders(settings.photo_folders) if f.path.name == "masks"]
    return EvaluateRequest(folder=folder.id, title=folder.title, format="auto", runs=(make_run_config().run_name,))


@pytest.mark.slow
def test_an_evaluation_is_counted_by_the_same_machinery(made, grading, settings):
    made(None).start(grading)
    job = until(made(None), has_ended)
    assert (job.state, job.sentence, job.request) == ("finished", "", grading)
    assert (job.total, job.computed, job.failed) == (3, 3, 0)
    store = Store(settings.store)
    (about,) = ground_truth.list_truths(store)
    assert (about.name, about.format) == ("masks", "voc")
    found = evaluation.load_evaluation(store, about, make_run_config().run_name)
    assert found.measures["pixel_accuracy"].overall() == pytest.approx(260 / 300)
    record = (settings.store / "jobs" / job.id / "request.json").read_text()
    assert str(settings.photo_folders[0]) not in record
    fill_store(settings.store, code_schema=2)
    asked = replace(grading, runs=(make_run_config().run_name, make_run_config(2).run_name))
    made(None).start(asked)
    job = until(made(None), lambda job: has_ended(job) and job.request == asked)
    assert (job.total, job.computed, job.reused, job.failed) == (6, 3, 3, 0)  # each photo once per run


def test_only_offered_folders_known_formats_and_runs_are_evaluated(made, grading):
    some = made()
    for changed, said in (
        ({"folder": "00000000"}, "not, or no longer, among"),
        ({"format": "jpeg"}, "voc, trimap, or auto"),
        ({"runs": ()}, "1 to 6 different runs"),
        ({"runs": ("nobody",)}, "no run"),
    ):
        with pytest.raises(SegError, match=said):
            some.start(replace(grading, **changed))
    some.start(grading)
    with pytest.raises(SegError, match="running already"):
        some.start(grading)


@pytest.mark.slow
def test_why_an_evaluation_failed_is_told(made, grading, settings):
    made(None).start(replace(grading, format="trimap"))
    job = until(made(None), has_ended)
    assert job.state == "failed"
    assert "expected 1 for the pet" in job.sentence
    asked = CalibrateRequest(**{f.name: getattr(grading, f.name) for f in fields(grading)})
    made(None).start(asked)
    job = until(made(None), lambda job: has_ended(job) and job.request == asked)
    assert (job.state, job.request) == ("failed", asked)
    assert "which this program does not know" in job.sentence


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
