"""An actor without a cluster: its files, its digests, what it answers, and when it gives up."""

import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from seglib.cluster import attempts, photo_computer
from seglib.cluster.attempts import Attempts
from seglib.cluster.photo_computer import Answer, PhotoComputer, PhotoDecoder, assign
from seglib.compute.worker import compute
from seglib.errors import SegError, WeightsError
from tests.seglib.compute.test_task import as_bytes, make_task


class LocalActor:
    """An actor whose methods are called here, at once."""

    def __init__(self, value):
        self._value = value

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self._value, name))


@pytest.fixture(autouse=True)
def ray(monkeypatch):
    context = SimpleNamespace(get_actor_id=lambda: "one")
    monkeypatch.setitem(
        sys.modules, "ray", SimpleNamespace(get=lambda value: value, get_runtime_context=lambda: context)
    )


@pytest.fixture
def counter() -> Attempts:
    return Attempts()


def start(task, counter, **different) -> PhotoComputer:
    return PhotoComputer(replace(assign(task.job, task.photos[0]), **different), LocalActor(counter))


def ask(computer: PhotoComputer, photos) -> Answer | SegError:
    (answer,) = computer({"photos": [pickle.dumps(photos)]})["answer"]
    return pickle.loads(answer)


def test_it_answers_what_the_task_gives_with_weights_that_only_the_driver_has(photos, fake, counter):
    task = make_task(photos, fake, workers=0)
    computer = start(task, counter)
    expected = compute(task)
    fake.path.unlink()
    answer = ask(computer, task.photos)
    by_path = {one.record["path"]: one for one in answer.results}
    assert as_bytes(by_path[one.record["path"]] for one in expected) == as_bytes(expected)
    assert (answer.device, counter._begun) == ("cpu", {})


def test_photos_that_another_actor_has_decoded_give_the_same(photos, fake, counter):
    task = make_task(photos, fake, workers=0)
    assignment = assign(task.job, task.photos[0])
    decoder, computer = PhotoDecoder(assignment), PhotoComputer(assignment, LocalActor(counter), True)
    (answer,) = computer(decoder({"photos": [pickle.dumps(task.photos)]}))["answer"]
    by_path = {one.record["path"]: one for one in pickle.loads(answer).results}
    expected = compute(task)
    assert as_bytes(by_path[one.record["path"]] for one in expected) == as_bytes(expected)


def test_a_decoder_that_does_not_see_the_photos_is_an_answer(photos, fake, counter):
    task = make_task(photos, fake, workers=0)
    assignment = assign(task.job, task.photos[0])
    blind = PhotoDecoder(replace(assignment, first=task.photos[0].record | {"path": "gone.jpg"}))
    computer = PhotoComputer(assignment, LocalActor(counter), True)
    (answer,) = computer(blind({"photos": [pickle.dumps(task.photos)]}))["answer"]
    assert "does not see the photos" in str(pickle.loads(answer))


def test_a_task_that_comes_again_is_computed_again(photos, fake, counter):
    """Its results may have been lost with a node: what it computed before must not count as known."""
    task = make_task(photos, fake, workers=0)
    computer = start(task, counter)
    first, again = (ask(computer, task.photos) for _ in range(2))
    assert [one.mask is None for one in again.results] == [one.mask is None for one in first.results] == [False] * 4


def test_other_weights_and_photos_out_of_sight_are_answers(photos, fake, counter):
    task = make_task(photos, fake, workers=0)
    sentence = str(ask(start(task, counter, digests=("0" * 64, "")), task.photos))
    assert "has other weights of fake than this machine" in sentence
    gone = task.photos[0].record | {"path": "gone.jpg"}
    assert "does not see the photos" in str(ask(start(task, counter, first=gone), task.photos))


def test_weights_that_do_not_load_are_an_answer(photos, fake, counter):
    fake.path.write_bytes(b"no weights")
    answer = ask(start(make_task(photos, fake, workers=0), counter), make_task(photos, fake).photos)
    assert isinstance(answer, WeightsError)


def test_what_ends_its_worker_again_and_again_is_given_up(photos, fake, counter, monkeypatch):
    task = make_task(photos, fake, workers=0)
    path = task.photos[0].record["path"]
    for _ in range(attempts.MOST):
        counter.begin(path)
    answer = ask(start(task, counter), task.photos)
    assert f"The task of the photos from {path!r}" in str(answer)
    assert f"{attempts.MOST} times" in str(answer)
    for _ in range(attempts.MOST):
        counter.begin("actor one")
    assert "Loading the model has ended its worker" in str(ask(start(task, counter), task.photos))


def test_an_int8_model_is_sent_with_its_digest(photos, fake, tmp_path):
    folder = tmp_path / "int8"
    folder.mkdir()
    for name in ("model.xml", "model.bin"):
        (folder / name).write_bytes(name.encode())
    task = make_task(photos, fake)
    job = task.job
    job = replace(job, settings=replace(job.settings, precision="int8", quantised=folder))
    assignment = assign(job, task.photos[0])
    (tmp_path / "worker").mkdir()
    unpacked = photo_computer._unpack(assignment, tmp_path / "worker")
    assert unpacked.settings.quantised == tmp_path / "worker" / "quantised"
    assert photo_computer._digests(unpacked) == assignment.digests
    (unpacked.settings.quantised / "model.bin").write_bytes(b"other")
    assert photo_computer._digests(unpacked) != assignment.digests
