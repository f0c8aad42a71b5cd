"""The process behind `predictor`: `python -m dashboard.workers.predict_worker`, started by it and by nobody else.

In: questions on standard input. Out: answers on standard output; whatever else is printed goes to standard error.
A task is a function from settings and blobs to facts and blobs. Knows nothing of pages or Streamlit.
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
"""Without a question for this long, the process ends and gives its memory back."""

MOST_BYTES = 3_000_000_000
"""Having held more memory than this, the process ends after its answer; the next question starts a fresh one."""

PICTURE_SIDE = 1600


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    questions = sys.stdin.buffer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's; it ends, and so does our input
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as on the command line: torch's threads wait without spinning
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
    """The answer to one question; every fault is a sentence in it."""
    try:
        return TASKS[about["task"]](about, blobs)
    except BadImage as error:
        return {"reason": error.reason, "detail": error.detail}, []
    except SegError as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": "There is not enough memory for this photo at this resize: take a smaller one."}, []
    except Exception as error:  # whatever torch may raise: the process is kept, and the log says more
        traceback.print_exc()
        return {"error": f"The network failed at this photo ({type(error).__name__}); the server's log says more."}, []


def predict(about: dict[str, Any], blobs: list[bytes]) -> Message:
    """The decoder, the forward pass and the statistics of a run, for one photo; see `Predictor.predict`."""
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
    """A photo's entropy per pixel by a stored run's own recipe, as a grey PNG at the grid's size: 255 is entropy 1."""
    from seglib.inference import predictor

    spec, settings = _remade(about)
    if spec.source == "hub":
        raise SegError(f"{about['run']['run']} took its network's code from torch.hub, and a page downloads nothing.")
    image, grid_wh = predictor.shown(decode(blobs[0]), spec, settings)
    entropy = predictor.entropy_map(image, spec, settings, grid_wh)  # (height, width)
    return {}, [png.png(Image.fromarray((entropy * 255).round().astype("uint8")))]


TASKS: dict[str, Callable[[dict[str, Any], list[bytes]], Message]] = {"predict": predict, "uncertainty": uncertainty}
"""What can be asked."""


def _recipe(about: dict[str, Any]) -> "tuple[ModelSpec, Settings]":
    from seglib.inference import config

    spec = find(about["model"])
    if not spec.path.exists():  # a page never downloads by itself
        raise WeightsError(f"The weights of {spec.name} are not here: a run of this model downloads them.")
    resize = Resize(about["resize"]) if about["resize"] else spec.resize
    if "run" in about:
        try:
            return _remade(about)
        except SegError:  # made by other weights, or by another version: it says nothing of what we would do
            pass
    return spec, config.Settings(resize=resize, precision=config.known_precision(about["precision"], ()))


def _remade(about: dict[str, Any]) -> "tuple[ModelSpec, Settings]":
    """What made a run of a store."""
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
    """End this process then, unless this is called again before; 0 takes it back."""
    if hasattr(signal, "alarm"):  # Windows has none: there the process stays as long as the server
        signal.alarm(seconds)


def _held_bytes() -> int:
    """The most memory that this process ever held; 0 where it cannot be known."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _be_killed_first() -> None:
    """Where memory runs out, Linux ends this process rather than the server."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        return


if __name__ == "__main__":
    main()
