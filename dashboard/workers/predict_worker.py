"""Worker process behind `predictor`: `python -m dashboard.workers.predict_worker`, started only by it.

Reads requests from standard input and writes answers to standard output; any other output goes to standard error. A
task is a function from (settings, blobs) to (facts, blobs).
"""

import contextlib
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dashboard.offers import models
from dashboard.settings import ServerSettings
from dashboard.workers.predictor import Message, receive, send
from seglib.adapters.lookup import find_requested
from seglib.data import formats
from seglib.data.image import compute_image_id, decode
from seglib.data.resize import Resize
from seglib.errors import BadImage, SegError, WeightsError
from seglib.masks import png, statistics
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from seglib.inference.config import InferenceConfig

IDLE_SECONDS = 600
"""The process exits after this long without a request, which frees its memory."""

MAX_MEMORY_BYTES = 3_000_000_000
"""If its peak memory exceeds this, the process exits after its answer; the next request starts a new one."""

PREVIEW_LONG_SIDE = 1600
THUMBNAIL_LONG_SIDE = 320

MAX_FRAME_PIXELS = 2_100_000
"""Pixels of a frame of the live view; browsers send a tenth of it."""

_CAMERA_WH = (640, 480)


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep the output of libraries out of the answers
    questions = sys.stdin.buffer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, which closes our input
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in the CLI: keep torch's threads from spinning
    os.environ["HF_HUB_OFFLINE"] = "1"  # pages never download
    _raise_oom_score()
    while True:
        _exit_after(IDLE_SECONDS)
        try:
            question, blobs = receive(questions)
        except EOFError:
            return
        _exit_after(0)
        send(answers, answer_question(question, blobs))
        if _peak_memory_bytes() > MAX_MEMORY_BYTES:
            return


def answer_question(question: dict[str, Any], blobs: list[bytes]) -> Message:
    """Answer one request; errors are returned as a sentence in the answer."""
    try:
        return TASKS[question["task"]](question, blobs)
    except BadImage as error:
        return {"reason": error.reason, "detail": error.detail}, []
    except SegError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": "There is not enough memory for this photo at this resize: choose a smaller one."}, []
    except Exception as error:  # torch may raise anything: keep the process, log the rest
        traceback.print_exc()
        where = "" if question["task"] == "describe" else " on this photo"
        return {"error": f"The model failed{where} ({type(error).__name__}); the server's log says more."}, []


def predict(question: dict[str, Any], blobs: list[bytes]) -> Message:
    """Decode, predict and measure one photo as a run does; see `Predictor.predict`."""
    from seglib.inference import config, predictor

    spec, settings = _resolve_model(question)
    upright = decode(blobs[0])
    image, grid_wh = predictor.prepare_image(upright, spec, settings)
    predictor.warm_up(spec, settings)
    started_at = time.perf_counter()
    masks, measures = predictor.predict_batch(image[None], spec, settings, grid_wh)
    seconds = time.perf_counter() - started_at
    facts = {
        "run": config.make_run_config(spec, settings).run_name,
        "image_id": compute_image_id(blobs[0]),
        "width": upright.width,
        "height": upright.height,
        "classes": spec.classes,
        "row": statistics.stats_row(masks[0], spec.classes, measures[0]),
        "precision": settings.precision,
        "device": config.device_of(settings),
        "seconds": seconds,
    }
    return facts, [png.encode_index_png(masks[0]), _jpeg_preview(upright)]


def describe_model(question: dict[str, Any], _: list[bytes]) -> Message:
    """Find an offered model without loading it: its name, number of classes, and the usual size of its masks."""
    spec = find_requested(models.get_model(ServerSettings.read(question.get("settings")), question["model"]).request)
    return {"name": spec.name, "classes": spec.classes, "resize": spec.resize.text}, []


def open_live(question: dict[str, Any], _: list[bytes]) -> Message:
    """Load a model for `segment_frame`; return the short side that it sees of a photo of `_CAMERA_WH`."""
    from seglib.inference import predictor

    spec, settings = _resolve_live_model(question)
    predictor.warm_up(spec, settings)
    return {"side": min(spec.input_resize(settings.resize).grid_wh(*_CAMERA_WH))}, []


def segment_frame(question: dict[str, Any], blobs: list[bytes]) -> Message:
    """Segment one frame as `predict` does a photo, but return only the mask: a greyscale PNG of class indices.

    `alone`: no other visitor is live, so all cores may compute; else one is left to the server.
    """
    from seglib.inference import predictor, torch_backend

    spec, settings = _resolve_live_model(question)
    image, grid_wh = predictor.prepare_image(_decode_frame(blobs[0]), spec, settings)
    started_at = time.perf_counter()
    with contextlib.nullcontext() if question["alone"] else torch_backend.spare_core():
        masks, _ = predictor.predict_batch(image[None], spec, settings, grid_wh)
    seconds = time.perf_counter() - started_at
    return {"seconds": seconds}, [png.encode_png(Image.fromarray(masks[0]))]


def compute_uncertainty(question: dict[str, Any], blobs: list[bytes]) -> Message:
    """Return a photo's per-pixel entropy by a stored run's recipe, as a greyscale PNG at the grid's size (255 = entropy
    1).
    """
    from seglib.inference import predictor

    spec, settings = _reproduce_run(question)
    image, grid_wh = predictor.prepare_image(decode(blobs[0]), spec, settings)
    entropy = predictor.entropy_map(image, spec, settings, grid_wh)  # (height, width)
    return {}, [png.encode_png(Image.fromarray((entropy * 255).round().astype("uint8")))]


def embed(question: dict[str, Any], blobs: list[bytes]) -> Message:
    """Return a photo's embedding by a stored run's recipe, as little-endian float32, and a small picture of it."""
    from seglib.pipeline.reproduce import embed_image

    spec, settings = _reproduce_run(question)
    upright = decode(blobs[0])
    vector = embed_image(upright, spec, settings, question["kind"])
    return {}, [vector.astype("<f4").tobytes(), _jpeg_preview(upright, THUMBNAIL_LONG_SIDE)]


TASKS: dict[str, Callable[[dict[str, Any], list[bytes]], Message]] = {
    "predict": predict,
    "describe": describe_model,
    "open_live": open_live,
    "segment_frame": segment_frame,
    "uncertainty": compute_uncertainty,
    "embed": embed,
}
"""Task name -> function."""


def _resolve_model(question: dict[str, Any]) -> "tuple[ModelSpec, InferenceConfig]":
    from seglib.inference import config

    spec = find_requested(models.get_model(ServerSettings.read(question.get("settings")), question["model"]).request)
    if spec.adapter is None and not spec.path.exists():  # pages never download weights
        raise WeightsError(f"The weights of {spec.name} are not here: a run of this model downloads them.")
    resize = Resize(question["resize"]) if question["resize"] else spec.resize
    if "run" in question:
        try:
            return _reproduce_run(question)
        except SegError:  # made with other weights or by another version, so it does not apply
            pass
    return spec, config.InferenceConfig(
        resize=resize, precision=config.resolve_precision(spec, question["precision"], ())
    )


def _resolve_live_model(question: dict[str, Any]) -> "tuple[ModelSpec, InferenceConfig]":
    """Resolve the model once per visitor and process, as it is then: finding it may take longer than a frame."""
    return _live_model(question["session"], question["model"], tuple((question.get("settings") or {}).items()))


@lru_cache(maxsize=32)
def _live_model(
    _session: str, model: str, settings: tuple[tuple[str, str], ...]
) -> "tuple[ModelSpec, InferenceConfig]":
    return _resolve_model({"model": model, "resize": "", "precision": "auto", "settings": dict(settings)})


def _decode_frame(data: bytes) -> Image.Image:
    """Decode a JPEG of at most `MAX_FRAME_PIXELS`, which takes milliseconds. Raises `BadImage`."""
    if formats.identify(data) != "JPEG":
        raise BadImage("not_an_image", "It is no JPEG.")
    pixels = 0
    with contextlib.suppress(OSError, Image.DecompressionBombError), Image.open(io.BytesIO(data)) as header:
        pixels = header.width * header.height
    if pixels > MAX_FRAME_PIXELS:
        raise BadImage("too_large", f"It has {pixels:,} pixels, more than {MAX_FRAME_PIXELS:,}.")
    return decode(data)


def _reproduce_run(question: dict[str, Any]) -> "tuple[ModelSpec, InferenceConfig]":
    """Reproduce the model and settings of a stored run."""
    from seglib.pipeline.reproduce import resolve_run_model
    from seglib.store.records import Run
    from seglib.store.store import Store

    run = Run(**question["run"] | {"classes": tuple(question["run"]["classes"])})
    models.check_run(ServerSettings.read(question.get("settings")), run)
    spec, settings = resolve_run_model(Store(question["store"]), run)
    if spec.source == "hub":
        raise SegError(f"{run.run} took its model's code from torch.hub, and a page downloads nothing.")
    return spec, settings


def _jpeg_preview(upright: Image.Image, long_side: int = PREVIEW_LONG_SIDE) -> bytes:
    small = upright.copy()
    small.thumbnail((long_side, long_side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _exit_after(seconds: int) -> None:
    """Schedule the end of this process, replacing any earlier schedule; 0 cancels it."""
    if hasattr(signal, "alarm"):  # not on Windows: there it lives as long as the server
        signal.alarm(seconds)


def _peak_memory_bytes() -> int:
    """Return the peak memory of this process in bytes; 0 where it is not available."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _raise_oom_score() -> None:
    """Make Linux kill this process rather than the server when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return


if __name__ == "__main__":
    main()
