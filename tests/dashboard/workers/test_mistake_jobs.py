"""Jobs that look for mistakes: what they ask of the library, in this process and without a model."""

from dataclasses import fields
from types import SimpleNamespace

import pytest

from dashboard.offers import models
from dashboard.settings import ServerSettings
from dashboard.views.shared import job_status
from dashboard.workers import job_worker, requests
from dashboard.workers.requests import CalibrateRequest, EvaluateRequest, JudgeRequest, SuspectsRequest
from seglib.errors import UnknownName, UsageError
from seglib.evaluation.mistakes.suspects import find_suspects
from seglib.store.store import Store
from tests.dashboard.conftest import draw_truth, make_run_config

RUN = make_run_config().run_name


class Writer(SimpleNamespace):
    """A `JobStateWriter` that keeps the last progress."""

    def set_progress(self, progress):
        self.progress = progress


def test_each_kind_of_evaluation_asks_for_what_it_is_about(full, serve, monkeypatch):
    draw_truth(full.parent / "data" / "masks")
    serve(full, full.parent / "data")
    settings, asked = ServerSettings.read(), []

    def update_counts(*_, calibration, label_quality, **__):
        asked.append((calibration, label_quality))
        return SimpleNamespace(left_out={}, files=[1], seconds=0.1)

    monkeypatch.setattr(job_worker.truth_counting, "update_counts", update_counts)
    monkeypatch.setattr(models, "check_run", lambda *_: None)
    (folder,) = [
        one
        for one in requests.mask_sources.find_mask_sources(requests.photo_folders.find_mask_roots(settings))
        if one.title.endswith("masks")
    ]
    for kind in (EvaluateRequest, CalibrateRequest, JudgeRequest):
        request = kind(folder=folder.id, title="masks", format="auto", runs=(RUN,))
        assert requests.from_record(requests.to_record(request)) == request
        assert job_worker.HANDLERS[kind.kind](request, settings, Writer())["state"] == "finished"
    assert asked == [(False, False), (True, False), (False, True)]
    assert JudgeRequest.queue == "models"


def test_masks_of_one_run_are_measured(full, serve):
    serve(full)
    request, writer = SuspectsRequest(runs=(RUN,)), Writer()
    request.check(ServerSettings.read())
    assert requests.from_record(requests.to_record(request)) == request
    assert job_worker.measure_masks(request, ServerSettings.read(), writer) == {"state": "finished"}
    assert (writer.progress.total, writer.progress.computed) == (6, 6)
    store = Store(full)
    assert find_suspects(store, store.run(RUN)).unmeasured == 0
    with pytest.raises(UnknownName):
        SuspectsRequest(runs=("nobody",)).check(ServerSettings.read())
    with pytest.raises(UsageError):
        SuspectsRequest(runs=()).check(ServerSettings.read())


@pytest.mark.parametrize("kind", [SuspectsRequest, JudgeRequest])
def test_each_kind_has_its_words(kind):
    values = {"folder": "f", "title": "masks", "format": "auto", "runs": ("a_run",)}
    request = kind(**{name: value for name, value in values.items() if name in {f.name for f in fields(kind)}})
    assert kind.kind in job_status.UNITS
    assert kind.kind in job_status.COMPUTED_WORDS
    assert kind.kind in job_status.FAILED_WORDS
    assert "a_run" in job_status.headline(SimpleNamespace(request=request))
    assert request.description.endswith(("is running", "being looked at"))
