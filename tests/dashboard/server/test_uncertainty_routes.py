"""Uncertainty maps: computed once, kept, and refused in a sentence."""

import threading

import anyio
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.server import media_routes, media_urls, photo_files, responses
from dashboard.server.cache import ByteCache
from dashboard.workers.uncertainty import UncertaintyMaps
from seglib.errors import WeightsError
from seglib.store.store import Store
from tests.dashboard.conftest import photo_of
from tests.dashboard.server.conftest import REAL, RUN, place

HEAT = f"/media-api/uncertainty/{RUN}/{REAL}.png"


class Asked:
    """Instead of the process with the network."""

    def __init__(self, answer: object = b"a map") -> None:
        self.answer, self.questions = answer, []

    def ask(self, task: str, about: dict, *blobs: bytes):
        self.questions.append((task, about["run"]["run"], blobs))
        if isinstance(self.answer, Exception):
            raise self.answer
        return {}, [self.answer]


def test_a_map_is_computed_once_and_kept(photos, real, monkeypatch):
    asked = Asked()
    monkeypatch.setattr(media_routes, "_uncertainty_maps", UncertaintyMaps(asked))
    answer = photos.get(media_urls.uncertainty_url(Store(real), RUN, REAL))
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"a map", "image/png")
    assert asked.questions == [("uncertainty", RUN, (photo_of("cats/a.jpg"),))]
    monkeypatch.setattr(responses, "memory_cache", ByteCache(0))
    assert photos.get(HEAT).content == b"a map"
    assert len(asked.questions) == 1


def test_a_map_that_cannot_be_had_is_a_sentence_without_a_path(photos, monkeypatch):
    monkeypatch.setattr(
        media_routes,
        "_uncertainty_maps",
        UncertaintyMaps(Asked(WeightsError("There is no weights file '/home/me/w.pth'."))),
    )
    answer = photos.get(HEAT)
    assert answer.status_code == 422
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == "There is no weights file 'w.pth'."


def test_a_run_whose_network_is_unknown_says_so(photos, monkeypatch):
    """The whole way, through the process that would run the network."""
    from dashboard.workers.predictor import Predictor

    asked = Predictor()
    monkeypatch.setattr(media_routes, "_uncertainty_maps", UncertaintyMaps(asked))
    answer = photos.get(HEAT)
    asked.close()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/plain; charset=utf-8")
    assert "'fake_net', which this program does not know" in answer.text


def test_a_request_whose_browser_has_gone_gives_up_its_turn(real, monkeypatch):
    started, finish = threading.Event(), threading.Event()

    class Blocked(Asked):
        def ask(self, task: str, about: dict, *blobs: bytes):
            started.set()
            finish.wait(30)
            return super().ask(task, about, *blobs)

    monkeypatch.setattr(media_routes, "_uncertainty_maps", UncertaintyMaps(Blocked()))
    app, sent = Starlette(routes=media_routes.routes), []
    scope = {"type": "http", "method": "GET", "path": HEAT, "query_string": b"", "headers": [], "root_path": ""}

    async def receive() -> dict:
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        sent.append(message)

    first = threading.Thread(target=TestClient(app).get, args=(HEAT,))
    first.start()
    assert started.wait(30)
    anyio.run(app, scope, receive, send)
    finish.set()
    first.join()
    assert sent[0]["status"] == 503
    assert b"no longer needed" in sent[1]["body"]


def test_there_is_no_map_of_a_photo_that_changed(photos, real):
    place(real).write_bytes(photo_of("another"))
    answer = photos.get(HEAT)
    assert (answer.status_code, answer.text.startswith(photo_files.CHANGED)) == (409, True)
