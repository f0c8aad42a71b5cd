"""Worker process behind `predictor`: `python -m dashboard.workers.predict_worker`, started only by it.

Reads requests from standard input and writes answers to standard output; any other output goes to standard error. A
task is a function from (settings, blobs) to (facts, blobs).
"""

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dashboard.workers.predictor import Message, receive, send
from seglib.data.image import decode, image_id
from seglib.data.resize import Resize
from seglib.errors import BadImage, SegError, WeightsError
from seglib.masks import png, statistics
from seglib.models.registry import ModelSpec, find

if TYPE_CHECKING:
    from seglib.inference.config import Settings

IDLE_SECONDS = 600
"""The process exits after this long without a request, which frees its memory."""

MOST_BYTES = 3_000_000_000
"""If its peak memory exceeds this, the process exits after its answer; the next request starts a new one."""

PICTURE_SIDE = 1600


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep the output of libraries out of the answers
    questions = sys.stdin.buffer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, which closes our input
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in the CLI: keep torch's threads from spinning
    _be_killed_first()
    while True:
        _end_after(IDLE_SECONDS)
        try:
            about, blobs = receive(questions)
        except EOFError:
            return
        _end_after(0)
        send(answers, answered(about, blobs))
        if _held_bytes() > MOST_BYTES:
            return


def answered(about: dict[str, Any], blobs: list[bytes]) -> Message:
    """Answer one request; errors are returned as a sentence in the answer."""
    try:
        return TASKS[about["task"]](about, blobs)
    except BadImage as error:
        return {"reason": error.reason, "detail": error.detail}, []
    except SegError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": "There is not enough memory for this photo at this resize: take a smaller one."}, []
    except Exception as error:  # torch may raise anything: keep the process, log the rest
        traceback.print_exc()
        return {"error": f"The network failed at this photo ({type(error).__name__}); the server's log says more."}, []


def predict(about: dict[str, Any], blobs: list[bytes]) -> Message:
    """Decode, predict and measure one photo as a run does; see `Predictor.predict`."""
    from seglib.inference import config, predictor

    spec, settings = _recipe(about)
    upright = decode(blobs[0])
    image, grid_wh = predictor.shown(upright, spec, settings)
    predictor.warm_up(spec, settings)
    begun = time.perf_counter()
    masks, measures = predictor.predict_batch(image[None], spec, settings, grid_wh)
    seconds = time.perf_counter() - begun
    facts = {
        "run": config.recipe(spec, settings).run,
        "image_id": image_id(blobs[0]),
        "width": upright.width,
        "height": upright.height,
        "classes": spec.classes,
        "row": statistics.row(masks[0], spec.classes, measures[0]),
        "precision": settings.precision,
        "device": config.resolved_device(settings.device),
        "seconds": seconds,
    }
    return facts, [png.index_png(masks[0]), _picture(upright)]


def uncertainty(about: dict[str, Any], blobs: list[bytes]) -> Message:
    """Return a photo's per-pixel entropy by a stored run's recipe, as a greyscale PNG at the grid's size (255 = entropy
    1).
    """
    from seglib.inference import predictor

    spec, settings = _remade(about)
    if spec.source == "hub":
        raise SegError(f"{about['run']['run']} took its network's code from torch.hub, and a page downloads nothing.")
    image, grid_wh = predictor.shown(decode(blobs[0]), spec, settings)
    entropy = predictor.entropy_map(image, spec, settings, grid_wh)  # (height, width)
    return {}, [png.png(Image.fromarray((entropy * 255).round().astype("uint8")))]


TASKS: dict[str, Callable[[dict[str, Any], list[bytes]], Message]] = {"predict": predict, "uncertainty": uncertainty}
"""Task name -> function."""


def _recipe(about: dict[str, Any]) -> "tuple[ModelSpec, Settings]":
    from seglib.inference import config

    spec = find(about["model"])
    if not spec.path.exists():  # pages never download weights
        raise WeightsError(f"The weights of {spec.name} are not here: a run of this model downloads them.")
    resize = Resize(about["resize"]) if about["resize"] else spec.resize
    if "run" in about:
        try:
            return _remade(about)
        except SegError:  # made with other weights or by another version, so it does not apply
            pass
    return spec, config.Settings(resize=resize, precision=config.known_precision(about["precision"], ()))


def _remade(about: dict[str, Any]) -> "tuple[ModelSpec, Settings]":
    """Reproduce the model and settings of a stored run."""
    from seglib.pipeline.reproduce import remake
    from seglib.store.records import Run
    from seglib.store.store import Store

    return remake(Store(about["store"]), Run(**about["run"] | {"classes": tuple(about["run"]["classes"])}))


def _picture(upright: Image.Image) -> bytes:
    small = upright.copy()
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _end_after(seconds: int) -> None:
    """Schedule the end of this process, replacing any earlier schedule; 0 cancels it."""
    if hasattr(signal, "alarm"):  # not on Windows: there it lives as long as the server
        signal.alarm(seconds)


def _held_bytes() -> int:
    """Return the peak memory of this process in bytes; 0 where it is not available."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _be_killed_first() -> None:
    """Make Linux kill this process rather than the server when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return


if __name__ == "__main__":
    main()
