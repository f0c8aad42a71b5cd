"""Run models on single photos in a separate, reused worker process.

The server itself never loads torch or decodes an uploaded image. The process (`predict_worker`) starts on the first
request and answers one at a time. It is killed when a request takes too long, and exits when it has been idle for long,
has grown too large, or the server is gone. Messages are JSON and bytes over pipes, never pickle.
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

import numpy as np
from numpy.typing import NDArray

from dashboard.settings import ROOT, ServerSettings
from seglib.errors import BadImage, SegError
from seglib.store.records import Run

Message = tuple[dict[str, Any], list[bytes]]

TIMEOUT_SECONDS = 120.0
"""Time limit for one request, and for waiting until it is its turn."""

BUSY = "The model is busy with other photos: try again in a moment."
TOO_SLOW = "The model took longer than {seconds:.0f} s for this photo and was stopped: choose a smaller resize."
DIED = "The model's process ended on this photo without an answer, perhaps for lack of memory: choose a smaller resize."


@dataclass(frozen=True, kw_only=True)
class ImagePrediction:
    """The prediction for one photo; the numbers are those that the store would keep."""

    run: str
    """The run to which these numbers would belong."""
    image_id: str
    width: int
    height: int
    classes: tuple[str, ...]
    row: dict[str, Any]
    """Result of `statistics.stats_row`."""
    precision: str
    device: str
    seconds: float
    """Duration of the forward pass with mask and measures; excludes loading the model and decoding."""
    mask: bytes
    """Index PNG at the grid's size."""
    picture: bytes
    """JPEG of the upright photo, its long side at most `predict_worker.PREVIEW_LONG_SIDE`."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    name: str
    """The model's name in runs."""
    classes: tuple[str, ...]
    resize: str
    """The usual size of its masks."""


class Predictor:
    """Thread-safe client of one worker process."""

    def __init__(self, command: Sequence[str] | None = None, *, seconds: float = TIMEOUT_SECONDS) -> None:
        self._command = list(command or (sys.executable, "-m", "dashboard.workers.predict_worker"))
        self._seconds = seconds
        self._turn = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, task: str, fields: dict[str, Any], *blobs: bytes) -> Message:
        """Return the answer to one request. Raises `BadImage` if the photo is at fault, `SegError` otherwise."""
        if not self._turn.acquire(timeout=self._seconds):
            raise SegError(BUSY)
        try:
            settings = ServerSettings.read().to_environment()
            message = (fields | {"task": task, "settings": settings}, list(blobs))
            answer = self._exchange(message) if self._is_running() else None
            answer = answer or self._exchange(message)  # the process may just have exited: retry with a new one
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
    ) -> ImagePrediction:
        """Predict one photo from its file's bytes, with an offered model (its id) whose weights are on disk.

        `resize`: empty for the model's default. `like`: a store and its run of the same model and resize; if that run
        can be reproduced, its precision is used, so that the numbers match those that the store would keep.
        """
        settings: dict[str, Any] = {"model": model, "resize": resize, "precision": precision}
        if like is not None:
            settings |= {"store": str(like[0]), "run": asdict(like[1])}
        facts, (mask, picture) = self.ask("predict", settings, photo)
        return ImagePrediction(**facts | {"classes": tuple(facts["classes"])}, mask=mask, picture=picture)

    def describe(self, model: str) -> ModelDescription:
        """Describe an offered model (its id) without loading it. Raises `SegError` if it cannot be used."""
        facts, _ = self.ask("describe", {"model": model})
        return ModelDescription(**facts | {"classes": tuple(facts["classes"])})

    def embed(self, photo: bytes, store: Path, run: Run, kind: str) -> tuple[NDArray[np.float32], bytes]:
        """Return a photo's embedding, float32 (D,), as those of a run of the store, and a small JPEG of the photo.

        `kind`: one of `similarity.embeddings.VectorKind`.
        """
        _, (vector, picture) = self.ask("embed", {"run": asdict(run), "store": str(store), "kind": kind}, photo)
        return np.frombuffer(vector, "<f4"), picture

    def close(self) -> None:
        """Kill the process; the next request starts a new one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _exchange(self, question: Message) -> Message | None:
        """Return the answer; None if the process ended before it answered."""
        if not self._is_running():
            self.close()
            self._process = self._start_process()
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

    def _start_process(self) -> "subprocess.Popen[bytes]":
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        return subprocess.Popen(  # noqa: S603 - our own program
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
        )


predictor = Predictor()
"""The server's shared instance; it starts no process before the first request."""

describer = Predictor()
"""A second one that only describes models, so that no page waits for a prediction."""


# --- messages: a line of JSON that ends with the blobs' sizes, then the blobs ---------------------------------------


def send(stream: IO[bytes], message: Message) -> None:
    values, blobs = message
    stream.write(json.dumps([values, [len(blob) for blob in blobs]]).encode() + b"\n")
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Read one message. Raises `EOFError` if the other side closed the stream."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    values, sizes = json.loads(line)
    return values, [_read_exactly(stream, size) for size in sizes]


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
