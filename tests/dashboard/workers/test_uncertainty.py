"""Maps are computed one at a time by the run's own recipe; whoever cannot have one is told why."""

import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from dashboard.workers import predict_worker, uncertainty
from dashboard.workers.predictor import BUSY, Predictor
from dashboard.workers.uncertainty import UncertaintyError, UncertaintyMaps
from seglib.data.image import decode
from seglib.data.resize import Resize
from seglib.errors import BadImage, SegError
from seglib.inference import config, predictor
from seglib.inference.config import InferenceConfig
from seglib.masks.statistics import CONFIDENCE_COLUMNS
from seglib.models import registry
from seglib.pipeline.run import describe_run
from seglib.store.records import Run
from seglib.store.store import Store
from tests.conftest import SAMPLE

PHOTO = SAMPLE / "cats" / "chelsea.png"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.create(tmp_path / "store")


@pytest.fixture
def run(store) -> Run:
    recipe = config.make_run_config(registry.find_model_spec(), InferenceConfig(resize=Resize("96x64")))
    return store.keep_run(describe_run(recipe, parameters=1, versions={}))


@pytest.mark.slow
def test_the_map_is_the_engines_by_the_runs_recipe_from_a_process_of_its_own(store, run):
    asked = Predictor()
    try:
        png = UncertaintyMaps(asked).png(store, run, PHOTO.read_bytes())
        with pytest.raises(UncertaintyError, match="cannot be read") as caught:
            UncertaintyMaps(asked).png(store, run, b"no photo")
    finally:
        asked.close()
    assert caught.value.status == 422
    picture = Image.open(io.BytesIO(png))
    assert (picture.mode, picture.size) == ("L", (96, 64))
    spec, settings = registry.find_model_spec(), InferenceConfig(resize=Resize("96x64"))
    image, grid_wh = predictor.prepare_image(decode(PHOTO.read_bytes()), spec, settings)
    _, (measure,) = predictor.predict_batch(image[None], spec, settings, grid_wh)
    assert np.asarray(picture).mean() / 255 == pytest.approx(measure.entropy, abs=0.002)


def test_a_model_that_gives_masks_alone_has_no_map_and_says_so(store, run, monkeypatch):
    import torch

    from seglib.adapters.lookup import find_model
    from seglib.pipeline import reproduce

    def masks(images):
        return torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8)

    spec = find_model(masks, classes=("a", "b"))
    settings = InferenceConfig(resize=Resize("32"), precision="fp32")
    monkeypatch.setattr(reproduce, "resolve_run_model", lambda *_: (spec, settings))
    question = {"task": "uncertainty", "run": vars(run), "store": str(store.path)}
    answer, pictures = predict_worker.answer_question(question, [PHOTO.read_bytes()])
    assert "gives masks alone" in answer["error"]
    assert pictures == []
    facts, _ = predict_worker.answer_question(
        question | {"task": "predict", "model": "fcn_mobilenet_v2", "resize": "", "precision": "auto"},
        [PHOTO.read_bytes()],
    )
    assert [facts["row"][name] for name in CONFIDENCE_COLUMNS] == [None] * len(CONFIDENCE_COLUMNS)


def test_a_page_fetches_no_code(store, run, monkeypatch):
    from seglib.pipeline import reproduce

    spec = registry.find_model_spec("fcn_resnet50", source="hub")
    monkeypatch.setattr(reproduce, "resolve_run_model", lambda *_: (spec, None))
    answer, _ = predict_worker.answer_question(
        {"task": "uncertainty", "run": vars(run), "store": str(store.path)}, [PHOTO.read_bytes()]
    )
    assert "torch.hub" in answer["error"]


class Slow:
    """A predictor that answers when it is told to, and counts those that are at it."""

    def __init__(self) -> None:
        self.go, self.at_once, self.most = threading.Event(), 0, 0

    def ask(self, task: str, about: dict, *blobs: bytes):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.go.wait(10)
        self.at_once -= 1
        return {}, [b"png"]


@pytest.fixture
def crowd(store, run):
    """A map that is being computed, and as many waiting as may."""
    slow = Slow()
    maps = UncertaintyMaps(slow)
    found: list[object] = []

    def ask(abandoned) -> None:
        try:
            found.append(maps.png(store, run, b"", abandoned=abandoned))
        except UncertaintyError as error:
            found.append(error)

    threads = []

    def start(abandoned=lambda: False) -> None:
        threads.append(threading.Thread(target=ask, args=(abandoned,)))
        threads[-1].start()

    yield start, slow, found
    slow.go.set()
    for thread in threads:
        thread.join()


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_at_a_time_and_further_ones_are_turned_away(crowd):
    start, slow, found = crowd
    for _ in range(uncertainty.MAX_WAITING):
        start()
    wait_for(lambda: slow.at_once == 1)
    start()
    wait_for(lambda: len(found) == 1)
    assert isinstance(found[0], UncertaintyError)
    assert found[0].status == 503
    slow.go.set()
    wait_for(lambda: len(found) == 1 + uncertainty.MAX_WAITING)
    assert found[1:] == [b"png"] * uncertainty.MAX_WAITING
    assert slow.most == 1


def test_who_went_away_gives_up_the_turn(crowd):
    start, slow, found = crowd
    start()
    wait_for(lambda: slow.at_once == 1)
    start(abandoned=lambda: True)
    wait_for(lambda: len(found) == 1)
    assert isinstance(found[0], UncertaintyError)


FAULTS = [(SegError("no weights at /root/w.pth"), 422), (BadImage("empty", "No bytes."), 422), (SegError(BUSY), 503)]


@pytest.mark.parametrize(("error", "status"), FAULTS)
def test_faults_are_sentences(store, run, error, status):
    class Failing:
        def ask(self, *_: object):
            raise error

    with pytest.raises(UncertaintyError) as caught:
        UncertaintyMaps(Failing()).png(store, run, b"")
    assert "/root" not in str(caught.value)
    assert caught.value.status == status
