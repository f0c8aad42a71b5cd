"""The live view: the browser sends frames of a camera to the server's live route and draws the masks that come back.

Takes the models with their class names and colours; reports a frame that the visitor keeps through a callback. Nothing
else of the stream passes through the page's script.
"""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

from dashboard.charts.theme import shared_colours
from dashboard.components.base import component_value, register_component
from dashboard.components.viewer import ViewerRun
from dashboard.server import live_route
from dashboard.settings import with_base_path

_live = register_component("seglib_live", css=["live.css"], js=["dom.js", "viewer_masks.js", "live.js"])

_KEPT_PREFIX = "data:image/jpeg;base64,"


def live(
    models: Sequence[ViewerRun],
    *,
    kept: int,
    held: int,
    opacity: int,
    colours: str,
    key: str,
    on_keep: Callable[[], None],
) -> None:
    """Draw the live view of these models; `run` is a model's id.

    `on_keep` is called when the visitor keeps a frame (see `read_frame`). `kept`: number of frames that have come, for
    which the browser waits. `held`: number of photos that the page holds for this visit.
    """
    shared = shared_colours([model.names for model in models], colours)
    data = {
        "address": with_base_path(live_route.PREFIX),
        "models": [asdict(model.with_colours(shared)) for model in models],
        "kept": kept,
        "held": held,
        "opacity": opacity,
    }
    _live(key=key, data=data, on_kept_change=on_keep)


def read_frame(key: str, max_bytes: int) -> bytes | None:
    """Return the bytes of the JPEG that the live view `key` sent, in a callback; None if they are malformed."""
    sent = component_value(key, "kept")
    if not isinstance(sent, str) or not sent.startswith(_KEPT_PREFIX):
        return None
    text = sent.removeprefix(_KEPT_PREFIX)
    if len(text) > 4 * math.ceil(max_bytes / 3):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if 0 < len(data) <= max_bytes else None
