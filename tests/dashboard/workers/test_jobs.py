"""Jobs: what a page is told of a process, whatever becomes of it; what can be started, and how often."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.workers import jobs
from dashboard.workers.jobs import Jobs
from seglib.errors import SegError
from tests.dashboard.workers.conftest import FAKE, has_ended, is_running, process_of, until


def test_a_job_is_seen_from_anywhere_and_stops_when_told(made, request_, settings):
    started = made().start(request_)
    assert started.state in ("starting", "running")
    other = Jobs(settings)  # another visit, or the server after a restart
    job = until(other, is_running)
    assert (job.id, job.request, job.computed, job.total) == (started.id, request_, 1, 2)
    other.stop(job.id)
    assert until(other, has_ended).state == "cancelled"
    assert other.all()[0].stopping_seconds is not None


def test_live_jobs_are_sorted_by_turn(made, request_, settings):
    assert made().live() == []
    some = made("import time; time.sleep(60)")
    for number in range(4):
        some.start(replace(request_, resize=str(32 + number)))
    by_age = some.all()[::-1]
    states = ("waiting", "running", "finished", "waiting")
    for job, state in zip(by_age, states, strict=True):
        (settings.store / "jobs" / job.id / "state.json").write_text(json.dumps({"state": state}))
    (settings.store / "jobs" / "notes").mkdir()
    assert [job.id for job in some.live()] == [by_age[place].id for place in (1, 0, 3)]


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
@pytest.mark.parametrize(("part", "value"), [("started", "1"), ("pid", 2**22 + 1)])
def test_another_process_with_the_same_number_is_not_the_job(made, request_, part, value):
    some = made()
    some.start(request_)
    job = until(some, is_running)
    file, process = process_of(some, job)
    file.write_text(json.dumps(process | {part: value}))
    assert some.all()[0].state == "lost"
    some.stop(job.id)  # and is not shot at
    os.kill(process["pid"], 0)


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"boot": "0" * 8}])
def test_a_job_of_another_machine_is_known_by_its_beat(made, request_, elsewhere):
    """Of the same name, too: containers and copied machines share theirs."""
    some = made()
    some.start(request_)
    job = until(some, is_running)
    file, process = process_of(some, job)
    file.write_text(json.dumps(process | elsewhere))
    assert some.all()[0].state == "running"
    os.utime(file.with_name("state.json"), (1, 1))
    assert some.all()[0].state == "lost"


def test_stopping_a_job_of_another_machine_ends_no_process_of_this_one(made, request_, monkeypatch):
    some = made()
    some.start(request_)
    job = until(some, is_running)
    file, process = process_of(some, job)
    file.write_text(json.dumps(process | {"host": "elsewhere"}))
    monkeypatch.setattr(jobs, "KILL_AFTER_SECONDS", -1)
    signalled: list[int] = []

    def terminate(pid: int, *, hard: bool) -> None:
        signalled.append(pid)

    monkeypatch.setattr(jobs, "_terminate", terminate)
    some.stop(job.id)
    some.stop(job.id)
    assert signalled == []
    assert file.with_name("stop").exists()  # which that machine's worker looks for


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


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("folder", "/etc", "among those"),
        ("folder", "../outside", "among those"),
        ("model", "../../model.pth", "among those"),
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


def test_a_folder_that_is_gone_when_its_turn_comes(made, request_, settings):
    some = made(None)
    shutil.move(settings.photo_folders[0] / "set", settings.photo_folders[0].parent / "elsewhere")
    with pytest.raises(SegError, match="no longer"):
        some.start(request_)
