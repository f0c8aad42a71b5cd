"""The models that a page offers: it never waits until all of them were looked at."""

import threading
import time

import pytest

from dashboard.offers import models
from dashboard.offers.models import ModelOffer
from dashboard.queries import source
from dashboard.settings import ServerSettings
from dashboard.workers.predictor import BUSY, ModelDescription, Predictor
from seglib.errors import SegError
from seglib.models.adapter import ModelRequest
from seglib.models.registry import DEFAULT_MODEL


@pytest.fixture
def described(monkeypatch, tmp_path):
    """Offer a built-in model and two files; `describe` blocks until the event is set."""
    source._descriptions.clear()
    offers = [
        ModelOffer(id=f"offered:{number:08}", title=f"{number}.onnx", request=ModelRequest(model=f"/x/{number}.onnx"))
        for number in range(2)
    ]
    built_in = ModelOffer(id=DEFAULT_MODEL, title=DEFAULT_MODEL, request=ModelRequest(model=DEFAULT_MODEL))
    monkeypatch.setattr(models, "find_models", lambda _: [built_in, *offers])
    may_go = threading.Event()

    def describe(self, model: str) -> ModelDescription:
        may_go.wait(30)
        if model.endswith("1"):
            raise SegError("It is damaged.")
        return ModelDescription(name="a", classes=tuple("abcde"), resize="96")

    monkeypatch.setattr(Predictor, "describe", describe)
    yield ServerSettings(store=tmp_path, photo_folders=(tmp_path,)), may_go
    may_go.set()
    source._descriptions.clear()


def test_models_are_offered_as_they_become_known(described):
    settings, may_go = described
    assert [choice.pending for choice in source.model_choices(settings)] == [False, True, True]
    may_go.set()
    for _ in range(200):
        if not any(choice.pending for choice in source.model_choices(settings)):
            break
        time.sleep(0.02)
    _, first, second = source.model_choices(settings)
    assert (first.name, len(first.classes), first.resize, first.problem) == ("a", 5, "96", "")
    assert second.problem == "It is damaged."


def test_a_busy_process_is_asked_again(described, monkeypatch):
    settings, may_go = described
    may_go.set()

    def busy(self, model: str) -> ModelDescription:
        raise SegError(BUSY)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "describe", busy)
        assert [choice.problem for choice in source.model_choices(settings)] == ["", BUSY, BUSY]
    assert source.model_choices(settings)[1].problem == ""
