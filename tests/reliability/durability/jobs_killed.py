"""A campaign: runs that the dashboard started, killed by the clock with all their processes, and resumed as its page
does it.

The embedded network on small photos, in the worker process that a visitor's click starts.
"""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dashboard.offers.photo_folders import find_folders
from dashboard.settings import ServerSettings
from dashboard.workers import jobs
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import RunRequest
from tests.reliability.harness.ledger import Campaign, CampaignResult
from tests.reliability.harness.scene import content, differences

PHOTOS = 80
PATIENCE_SECONDS = 120


def killed(tries: int, seed: int, folder: Path) -> CampaignResult:
    chance, settings = random.Random(seed), _settings(folder, PHOTOS if tries > 1 else PHOTOS // 4)
    title = find_folders(settings.photo_folders)[0]
    request = RunRequest(folder=title.id, title=title.title, model="fcn_mobilenet_v2", resize="64", precision="fp32")
    whole = Jobs(settings)
    began = time.monotonic()
    whole.start(request)
    assert _ended(whole).state == "finished"
    takes, expected = time.monotonic() - began, _content(settings.store)
    at_work = 0
    for number in range(tries):
        some = Jobs(ServerSettings(store=folder / f"store{number}", photo_folders=settings.photo_folders))
        job = some.start(request)
        time.sleep(chance.uniform(0.2, takes))
        _kill()
        lost = _ended(some)
        at_work += lost.state == "lost"
        if lost.state != "finished":
            some.resume(job.id)
            assert _ended(some).state == "finished"
        found = differences(_content(some.settings.store), expected)
        assert not found, found
    return CampaignResult(
        tries,
        f"{at_work} killed while running and shown as lost, then resumed; every store equal to that of an "
        "undisturbed job",
    )


def _settings(folder: Path, photos: int) -> ServerSettings:
    for number in range(photos):
        noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
        path = folder / "data" / "set" / "cats" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).resize((160, 120)).save(path)
    return ServerSettings(store=folder / "whole", photo_folders=(folder / "data",))


def _content(store: Path) -> dict[str, Any]:
    """But for the records of jobs, which have numbers of their own."""
    found = content(store)
    for kind in ("files", "folders"):
        found[kind] = [name for name in found[kind] if not name.startswith("jobs")]
    return found


def _kill() -> None:
    """Each worker that this process started, and what it started itself."""
    for process in list(jobs._children):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ended(some: Jobs) -> Job:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (job := some.all()[0]).live:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


CAMPAIGNS = (Campaign("Killed and stopped", "a dashboard job killed at random times, and resumed", killed, 8, 1),)
