"""The live view's route: whose turn it is, which frame counts, and when it ends; the model is a fake."""

import asyncio
import json
import threading
import time
from collections import Counter

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dashboard.server import live_route
from dashboard.server.live_route import LiveView
from dashboard.server.middleware import host_guard
from dashboard.settings import ServerSettings
from seglib.errors import BadImage, SegError

MODEL, OTHER = "fcn_mobilenet_v2", "unet_mobilenet_v2"


class FakePredictor:
    """Answers with the frame itself as its mask; each frame needs a permit, of which there are plenty at first."""

    def __init__(self, permits: int = 10_000) -> None:
        self.permits = threading.Semaphore(permits)
        self.frames: list[tuple[str, str, bytes]] = []
        """(session, model, frame), as they were taken."""
        self.opened: list[str] = []

    def ask(self, task, fields, *blobs):
        if task == "open_live":
            self.opened.append(fields["model"])
            if fields["model"] == "gpt":
                raise SegError("There is no model in /home/me/gpt.")
            return {"side": 320}, []
        self.frames.append((fields["session"], fields["model"], blobs[0]))
        assert self.permits.acquire(timeout=30)
        if blobs[0] == b"broken":
            raise BadImage("not_an_image", "It is no JPEG.")
        return {"seconds": 0.01}, [blobs[0]]


@pytest.fixture
def worker() -> FakePredictor:
    return FakePredictor()


@pytest.fixture
def view(worker) -> LiveView:
    return LiveView(worker)


@pytest.fixture
def client(view, monkeypatch, tmp_path):
    """A client behind the guard; all of its sockets share one event loop, as in the server."""
    settings = ServerSettings(store=tmp_path, photo_folders=(), base_path="/base")
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    routes = [live_route.WebSocketRoute(live_route.PREFIX, view.serve)]
    app = Starlette(middleware=[Middleware(host_guard.HostGuardMiddleware, routes=routes)])
    with TestClient(app, base_url="http://localhost") as made:
        yield made


def connect(client, path: str = live_route.PREFIX, **headers: str):
    return client.websocket_connect(path, headers={"host": "localhost"} | headers)


def opened(socket, *models: str):
    socket.send_json({"models": list(models) or [MODEL]})
    return socket.receive_json()


def answer(socket) -> tuple[dict, bytes]:
    head, _, mask = socket.receive_bytes().partition(b"\n")
    return json.loads(head), mask


def until(done) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- one visitor ---


@pytest.mark.parametrize("path", [live_route.PREFIX, f"/base{live_route.PREFIX}"])
def test_each_frame_is_answered_by_each_model(client, worker, path):
    with connect(client, path, origin="http://localhost") as socket:
        assert opened(socket, MODEL, OTHER) == {"sides": [320, 320]}
        for number, frame in enumerate((b"one\n", b"two")):
            socket.send_bytes(frame)
            assert answer(socket) == ({"frame": number, "model": 0, "seconds": 0.01}, frame)
            assert answer(socket) == ({"frame": number, "model": 1, "seconds": 0.01}, frame)
    assert [(model, frame) for _, model, frame in worker.frames] == [
        (MODEL, b"one\n"),
        (OTHER, b"one\n"),
        (MODEL, b"two"),
        (OTHER, b"two"),
    ]
    assert len({session for session, *_ in worker.frames}) == 1


def test_only_the_newest_frame_waits(client, worker, monkeypatch):
    put = Counter()
    original = live_route.NewestFrame.put
    monkeypatch.setattr(live_route.NewestFrame, "put", lambda self, frame: (original(self, frame), put.update("x")))
    worker.permits = threading.Semaphore(0)
    with connect(client) as socket:
        opened(socket)
        socket.send_bytes(b"0")
        until(lambda: worker.frames)
        for number in range(1, 6):
            socket.send_bytes(b"%d" % number)
        until(lambda: put.total() == 6)
        worker.permits.release(10)
        answers = [answer(socket) for _ in range(2)]
        assert [(head["frame"], mask) for head, mask in answers] == [(0, b"0"), (5, b"5")]
    assert [frame for *_, frame in worker.frames] == [b"0", b"5"]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (b"broken", "A frame could not be read: It is no JPEG."),
        (b"", live_route.BAD_REQUEST),
        (b"x" * (live_route.MAX_FRAME_BYTES + 1), live_route.TOO_LARGE),
        ("text", live_route.BAD_REQUEST),
    ],
)
def test_a_bad_frame_ends_with_a_sentence(client, view, frame, sentence):
    with connect(client) as socket:
        opened(socket)
        socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame)
        assert socket.receive_json() == {"error": sentence}
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
    assert view.visitors == 0


@pytest.mark.parametrize(
    "request_",
    [
        *("", "[", "3", "null", "{}", '{"models": "a"}', '{"models": []}', '{"models": [1]}', "[" * 1500),
        *('{"models": ["a", "a"]}', '{"models": ["a", "b", "c"]}', json.dumps({"models": ["a" * 2000]})),
    ],
)
def test_a_request_that_makes_no_sense_ends_with_a_sentence(client, worker, request_):
    with connect(client) as socket:
        socket.send_text(request_)
        assert socket.receive_json() == {"error": live_route.BAD_REQUEST}
    assert worker.opened == []


def test_a_model_that_cannot_be_used_says_why_without_its_path(client):
    with connect(client) as socket:
        assert opened(socket, "gpt") == {"error": "There is no model in gpt."}


def test_who_says_nothing_is_disconnected(client, view, monkeypatch):
    monkeypatch.setattr(live_route, "REQUEST_SECONDS", 0.01)
    with connect(client) as socket:
        assert socket.receive_json() == {"error": live_route.BAD_REQUEST}
    monkeypatch.setattr(live_route, "REQUEST_SECONDS", 10)
    monkeypatch.setattr(live_route, "IDLE_SECONDS", 0.01)
    with connect(client) as socket:
        socket.send_json({"models": [MODEL]})
        message = socket.receive_json()
        if message == {"sides": [320]}:  # unless the time was over before
            message = socket.receive_json()
        assert message == {"error": live_route.IDLE}
    until(lambda: view.visitors == 0)


def test_pages_of_other_sites_and_plain_requests_are_not_answered(client, view):
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        with pytest.raises(WebSocketDisconnect), connect(client, **headers):
            pass
    assert client.get(live_route.PREFIX).status_code == 404
    assert view.visitors == 0


# --- several ---


def test_the_place_is_free_when_a_visitor_leaves_even_during_a_frame(client, view, worker, monkeypatch):
    monkeypatch.setattr(live_route, "MAX_VISITORS", 1)
    worker.permits = threading.Semaphore(0)
    with connect(client) as socket:
        opened(socket)
        with connect(client) as second:
            assert opened(second) == {"error": live_route.FULL}
        socket.send_bytes(b"1")
        until(lambda: worker.frames)
        threading.Timer(0.1, worker.permits.release, (10,)).start()  # leaving waits for the model
    assert view.visitors == 0
    with connect(client) as socket:
        assert opened(socket) == {"sides": [320]}


def test_all_visitors_together_use_two_models(client):
    with connect(client) as one, connect(client) as other, connect(client) as third:
        assert opened(one, MODEL) == {"sides": [320]}
        assert opened(other, OTHER, MODEL) == {"sides": [320, 320]}
        assert opened(third, "fcn_resnet50")["error"] == (
            f"Other visitors are live with {MODEL} and {OTHER}: choose one of these, or try again later."
        )


class FakeSocket:
    """A visitor whose frames are sent without end, as fast as they are taken; it may refuse to take answers."""

    def __init__(self, *models: str, takes_answers: bool = True) -> None:
        self.models, self.takes_answers = models, takes_answers
        self.sent = 0
        self.received: list[bytes] = []

    async def accept(self):
        return

    async def receive(self):
        await asyncio.sleep(0)
        self.sent += 1
        if self.sent == 1:
            return {"type": "websocket.receive", "text": json.dumps({"models": self.models})}
        return {"type": "websocket.receive", "bytes": b"%d" % self.sent}

    async def send_json(self, _):
        return

    async def send_bytes(self, data):
        if not self.takes_answers:
            await asyncio.Event().wait()
        self.received.append(data)


def serve_until(view: LiveView, sockets: list[FakeSocket], done) -> None:
    async def main() -> None:
        visits = [asyncio.create_task(view.serve(socket)) for socket in sockets]
        while not done():
            await asyncio.sleep(0.001)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_visitors_take_turns_whatever_they_send(view, worker):
    sockets = [FakeSocket(MODEL), FakeSocket(MODEL), FakeSocket(MODEL, OTHER)]
    serve_until(view, sockets, lambda: min(len(socket.received) for socket in sockets) >= 20)
    turns = [session for session, *_ in worker.frames]
    first = next(n for n in range(len(turns)) if len(set(turns[:n])) == 3)  # all have come
    rounds = [turns[n : n + 3] for n in range(first, len(turns) - 3, 3)]
    assert len(rounds) >= 15
    assert all(len(set(turns)) == 3 for turns in rounds)


def test_a_visitor_who_takes_no_answers_costs_the_others_nothing(view, worker):
    stuck, quick = FakeSocket(MODEL, takes_answers=False), FakeSocket(MODEL)
    serve_until(view, [stuck, quick], lambda: len(quick.received) >= 50)
    assert Counter(session for session, *_ in worker.frames).most_common()[-1][1] == 1
    assert stuck.received == []
