"""Jobs over a folder of 40 photos, by a worker that does nothing or by the real one."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.offers.photo_folders import find_folders
from dashboard.settings import ServerSettings
from dashboard.workers import jobs
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import RunRequest

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
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(noise).resize((160, 120)).save(folder / f"{number:02}.jpg")
    return folder


@pytest.fixture
def settings(tmp_path, photos) -> ServerSettings:
    shutil.copytree(photos, tmp_path / "data" / "set" / "cats")
    return ServerSettings(store=tmp_path / "store", photo_folders=(tmp_path / "data",))


@pytest.fixture
def request_(settings) -> RunRequest:
    folder = find_folders(settings.photo_folders)[1]  # the first is the whole of `data`
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
