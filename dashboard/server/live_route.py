"""WebSocket route of the live view: frames of visitors' cameras in, masks of class indices out.

    WebSocket /live-api
        browser  {"models": [ID, ...]}                               once
        server   {"sides": [320, ...]}                               short side that each model sees; all are loaded now
        browser  bytes of a JPEG                                     a frame, again and again
        server   {"frame": 0, "model": 0, "seconds": 0.05} + newline + PNG
                                                                     for each model; `frame` counts the browser's
                                                                     frames from 0; grey values = class indices
        server   {"error": SENTENCE}                                 the last message, whatever went wrong

All visitors share the predictor's process. Each has at most one frame waiting, the newest, and they take turns, one
model on one frame at a time, so that nobody waits for more than one turn of each other. A slow connection delays its
own visitor alone. Frames are neither stored nor logged.
"""

import json
import secrets
from asyncio import Lock
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.formatting import user_message
from dashboard.offers import models
from dashboard.settings import ServerSettings
from dashboard.workers.predictor import Message, Predictor, predictor
from seglib.errors import BadImage, SegError

PREFIX = "/live-api"

MAX_VISITORS = 8
MAX_MODELS = 2
"""Maximum number of models of one visitor, and of all visitors together: the process keeps two models loaded."""

MAX_FRAME_BYTES = 1_000_000
MAX_REQUEST_CHARACTERS = 2000
REQUEST_SECONDS = 10.0
"""Time limit for the first message."""
IDLE_SECONDS = 300.0
"""A visitor who sends no frame for this long is disconnected, and the place is free again."""

FULL = "As many visitors as this server takes are live now: try again later."
OTHER_MODELS = "Other visitors are live with {models}: choose one of these, or try again later."
BAD_REQUEST = "The page and the server do not understand each other: reload the page."
TOO_LARGE = f"A frame may have {MAX_FRAME_BYTES // 1000:,} kB at most."
IDLE = f"No frame came for {IDLE_SECONDS / 60:.0f} minutes, so the live view has ended."


class LiveError(Exception):
    """Ends a visitor's live view; the message is a sentence for the page."""


class NewestFrame:
    """The frame of one visitor that waits for its turn; a newer one replaces it."""

    def __init__(self) -> None:
        self._frame = b""
        self._number = -1
        self._present = anyio.Event()

    def put(self, frame: bytes) -> None:
        self._frame = frame
        self._number += 1
        self._present.set()

    async def wait(self) -> None:
        await self._present.wait()

    def take(self) -> tuple[int, bytes]:
        """Return the frame and how many came before it."""
        self._present = anyio.Event()
        return self._number, self._frame


class LiveView:
    """The live views of all visitors, over one predictor."""

    def __init__(self, worker: Predictor = predictor) -> None:
        self._worker = worker
        self._turn = Lock()  # first come, first served: with one frame each, visitors take turns
        self._visitors: Counter[tuple[str, ...]] = Counter()
        """Models -> number of visitors who are live with them."""

    @property
    def visitors(self) -> int:
        return self._visitors.total()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one visitor until the browser or an error ends it."""
        await socket.accept()
        try:
            chosen = await _receive_request(socket)
            with self._place(chosen):
                await self._exchange(socket, chosen)
        except LiveError as error:
            await _end(socket, str(error))
        except WebSocketDisconnect:
            return

    @contextmanager
    def _place(self, chosen: tuple[str, ...]) -> Iterator[None]:
        """Occupy a visitor's place. Raises `LiveError` if none is free for these models."""
        if self.visitors >= MAX_VISITORS:
            raise LiveError(FULL)
        in_use = {model for others in self._visitors for model in others}
        if len(in_use | {*chosen}) > MAX_MODELS:
            raise LiveError(OTHER_MODELS.format(models=" and ".join(sorted(map(_title, in_use)))))
        self._visitors[chosen] += 1
        try:
            yield
        finally:
            self._visitors -= Counter([chosen])

    async def _exchange(self, socket: WebSocket, chosen: tuple[str, ...]) -> None:
        """Answer frames until the browser leaves. Raises `LiveError`."""
        newest, problem = NewestFrame(), ""

        async def receive() -> None:
            nonlocal problem
            try:
                while True:
                    newest.put(await _receive_frame(socket))
            except LiveError as error:
                problem = str(error)
            except WebSocketDisconnect:
                pass
            group.cancel_scope.cancel()

        async def answer() -> None:
            nonlocal problem
            try:
                await self._answer(socket, chosen, newest)
            except LiveError as error:
                problem = str(error)
            except WebSocketDisconnect:
                pass
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            group.start_soon(answer)
        if problem:
            raise LiveError(problem)

    async def _answer(self, socket: WebSocket, chosen: tuple[str, ...], newest: NewestFrame) -> None:
        session = secrets.token_hex(8)
        ask = partial(self._ask, session=session)
        sides = []
        for model in chosen:
            async with self._turn:
                sides.append((await ask("open_live", model=model))[0]["side"])
        await socket.send_json({"sides": sides})
        while True:
            await newest.wait()
            number, frame = -1, b""
            for place, model in enumerate(chosen):
                async with self._turn:
                    if not frame:  # the newest at its first turn; then the same for the other model
                        number, frame = newest.take()
                    alone = self.visitors == 1
                    facts, (mask,) = await ask("segment_frame", frame, model=model, alone=alone)
                head = json.dumps({"frame": number, "model": place, "seconds": facts["seconds"]})
                await socket.send_bytes(head.encode() + b"\n" + mask)

    async def _ask(self, task: str, *blobs: bytes, **fields: Any) -> Message:
        """Ask the predictor's process; a visitor who leaves meanwhile keeps the turn until it has answered."""
        try:
            return await to_thread.run_sync(partial(self._worker.ask, task, fields, *blobs))
        except BadImage as error:
            raise LiveError(f"A frame could not be read: {error.detail}") from None
        except SegError as error:
            raise LiveError(user_message(str(error))) from None


def _title(model: str) -> str:
    """Return the title by which pages offer a model."""
    try:
        return models.get_model(ServerSettings.read(), model).title
    except SegError:  # no longer offered
        return model


async def _receive_request(socket: WebSocket) -> tuple[str, ...]:
    """Return the ids of the models that the browser asks for. Raises `LiveError`."""
    text = ""
    with anyio.move_on_after(REQUEST_SECONDS):
        text = (await _receive(socket)).get("text") or ""
    try:
        chosen = json.loads(text)["models"] if len(text) <= MAX_REQUEST_CHARACTERS else None
    except (ValueError, TypeError, KeyError, RecursionError):
        chosen = None
    if not isinstance(chosen, list) or not all(isinstance(one, str) for one in chosen):
        raise LiveError(BAD_REQUEST)
    if not 0 < len(chosen) <= MAX_MODELS or len(set(chosen)) < len(chosen):
        raise LiveError(BAD_REQUEST)
    return tuple(chosen)


async def _receive_frame(socket: WebSocket) -> bytes:
    frame: bytes | None = None
    with anyio.move_on_after(IDLE_SECONDS) as scope:
        frame = (await _receive(socket)).get("bytes")
    if scope.cancelled_caught:
        raise LiveError(IDLE)
    if not frame:
        raise LiveError(BAD_REQUEST)
    if len(frame) > MAX_FRAME_BYTES:
        raise LiveError(TOO_LARGE)
    return frame


async def _receive(socket: WebSocket) -> dict[str, Any]:
    """Return the next message of the browser. Raises `WebSocketDisconnect`."""
    message = dict(await socket.receive())
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    return message


async def _end(socket: WebSocket, sentence: str) -> None:
    try:
        await socket.send_json({"error": sentence})
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):  # it has left
        return


live_view = LiveView()
"""The server's shared instance."""

routes = [WebSocketRoute(PREFIX, live_view.serve)]
