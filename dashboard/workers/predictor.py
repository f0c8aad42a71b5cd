"""Ask a network about a photo, in a process of its own that is kept for the next question.

In: a task of `predict_worker`, its settings, bytes. Out: its answer, or one sentence. The server itself so never loads
torch, nor decodes a picture that somebody sent. The process starts at the first question, answers one at a time, is
killed when a question takes too long, and ends when it was idle for long, grew too big, or the server is gone.
The two speak JSON and bytes over pipes, never pickle. Knows nothing of stores or pages.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any

from dashboard.settings import ROOT
from seglib.errors import BadImage, SegError
from seglib.store.records import Run

Message = tuple[dict[str, Any], list[bytes]]

WAIT_SECONDS = 120.0
"""How long one question may take, and how long it may wait for its turn."""

BUSY = "The network is busy with other photos: try again in a moment."
TOO_SLOW = "The network took longer than {seconds:.0f} s for this photo and was stopped: take a smaller resize."
DIED = "The network's process ended at this photo without an answer, perhaps for want of memory: take a smaller resize."


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a network saw in a photo; the numbers are those that the store would keep."""

    run: str
    """The run that these numbers would belong to."""
    image_id: str
    width: int
    height: int
    classes: tuple[str, ...]
    row: dict[str, Any]
    """`stats.row`."""
    precision: str
    device: str
    seconds: float
    """Of the forward pass with mask and measures; loading the net and decoding are not in it."""
    mask: bytes
    """Index PNG at the grid's size."""
    picture: bytes
    """JPEG of the upright photo, its long side at most `predict_worker.PICTURE_SIDE`."""


class Predictor:
    """One process and those who wait for it; safe for threads."""

    def __init__(self, command: Sequence[str] | None = None, *, seconds: float = WAIT_SECONDS) -> None:
        self._command = list(command or (sys.executable, "-m", "dashboard.workers.predict_worker"))
        self._seconds = seconds
        self._turn = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, task: str, about: dict[str, Any], *blobs: bytes) -> Message:
        """The answer to one question. Raises `BadImage` for the photo's faults, `SegError` for all others."""
        if not self._turn.acquire(timeout=self._seconds):
            raise SegError(BUSY)
        try:
            question = (about | {"task": task}, list(blobs))
            answer = self._answer(question) if self._is_up() else None
            answer = answer or self._answer(question)  # it may just have ended by itself: once more, to a new one
        finally:
            self._turn.release()
        if answer is None:
            raise SegError(DIED)
        if "reason" in answer[0]:
            raise BadImage(answer[0]["reason"], answer[0]["detail"])
        if "error" in answer[0]:
            raise SegError(answer[0]["error"])
        return answer

    def predict(
        self,
        photo: bytes,
        *,
        model: str,
        resize: str = "",
        precision: str = "auto",
        like: tuple[Path, Run] | None = None,
    ) -> Seen:
        """What a model of the registry, whose weights are here, sees in the bytes of a photo's file.

        `resize`: empty for the model's own. `like`: a store and its run of this model and resize; if that can be made
        again, its precision is taken, so that the numbers are those that it would keep.
        """
        settings: dict[str, Any] = {"model": model, "resize": resize, "precision": precision}
        if like is not None:
            settings |= {"store": str(like[0]), "run": asdict(like[1])}
        about, (mask, picture) = self.ask("predict", settings, photo)
        return Seen(**about | {"classes": tuple(about["classes"])}, mask=mask, picture=picture)

    def close(self) -> None:
        """End the process; the next question starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _answer(self, question: Message) -> Message | None:
        """None if the process ended before it answered."""
        if not self._is_up():
            self.close()
            self._process = self._started()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        watch = Timer(self._seconds, process.kill)
        watch.start()
        try:
            send(process.stdin, question)
            return receive(process.stdout)
        except (OSError, EOFError, ValueError):
            self.close()
            if watch.finished.is_set():
                raise SegError(TOO_SLOW.format(seconds=self._seconds)) from None
            return None
        finally:
            watch.cancel()

    def _started(self) -> "subprocess.Popen[bytes]":
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        return subprocess.Popen(  # noqa: S603 - our own program
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
        )


predictor = Predictor()
"""The one of this server; it costs nothing before the first question."""


# --- messages: a line of JSON that ends with the blobs' sizes, then the blobs ---------------------------------------


def send(stream: IO[bytes], message: Message) -> None:
    about, blobs = message
    stream.write(json.dumps([about, [len(blob) for blob in blobs]]).encode() + b"\n")
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Raises `EOFError` if the other side ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    about, sizes = json.loads(line)
    return about, [_exactly(stream, size) for size in sizes]


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
