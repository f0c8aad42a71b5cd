"""Download, verify and load a model's weights."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seglib.errors import WeightsError
from seglib.models import weights_file
from seglib.models.registry import DEFAULT_MODEL, HUB_REPOSITORY, MODELS, ModelSpec, find, hub_folder

if TYPE_CHECKING:
    from torch import Tensor, nn


def weights_sha256(spec: ModelSpec) -> str:
    """SHA-256 of the file that lies there, checked against the published one. Raises `WeightsError`."""
    digest = weights_file.file_sha256(spec.path)
    if not digest.startswith(spec.sha256):
        raise WeightsError(
            f"{spec.path} is not the published file: its SHA-256 begins with {digest[:8]}, expected {spec.sha256[:8]}. "
            "Delete it and run again to download it anew."
        )
    return digest


def ensure_weights(spec: ModelSpec) -> None:
    """Download torchvision's weights, with progress and hash check, if they are not there yet."""
    if spec.path.exists():
        return
    if spec.source in ("embedded", "file"):
        raise WeightsError(f"There is no weights file {str(spec.path)!r}.")
    from torchvision.models import get_model_weights

    try:  # the URL, the progress bar, the hash check and the final rename are torchvision's
        with contextlib.redirect_stdout(sys.stderr):  # its messages are no output of ours
            get_model_weights(spec.name)["COCO_WITH_VOC_LABELS_V1"].get_state_dict(
                progress=True, check_hash=True, map_location="meta", weights_only=True
            )
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise WeightsError(
            f"{spec.name} needs the file {spec.weights}, and downloading it failed ({weights_file.first_line(error)}): "
            f"put it into {hub_folder()}, or take --model {DEFAULT_MODEL}, which works offline."
        ) from None


def load_model(model: ModelSpec | str | os.PathLike[str] = DEFAULT_MODEL) -> "nn.Module":
    """Load a model with its weights, downloading them first if they are published and not here yet.

    Args:
        model: A name of `MODELS`, the path of a checkpoint made by `seglib train`, or a `ModelSpec`.

    Returns:
        The module on the CPU, in float32 and eval mode. It maps normalised RGB, float (B, 3, H, W), to
        `{"out": logits}`, float (B, C, H, W); `ModelSpec.mean` and `ModelSpec.std` normalise images of range 0..1.

    Raises:
        UnknownName: No model has this name.
        WeightsError: The weights are missing, damaged, or do not fit the architecture.

    Example:
        net = seglib.load_model("fcn_mobilenet_v2")
    """
    if isinstance(model, ModelSpec):
        spec = model
    elif isinstance(model, str) and (model in MODELS or not Path(model).suffix):
        spec = find(model)
    else:
        spec = find(weights=Path(model))
    ensure_weights(spec)
    return load(spec)


def load(spec: ModelSpec) -> "nn.Module":
    """The net with its weights, on the CPU, float32, in eval mode; whoever asks it shows it photos by the rule
    `ModelSpec.sees`. Raises `WeightsError` in one sentence.
    """
    import torch

    weights_sha256(spec)
    if spec.source == "hub":
        return _from_hub(spec)
    state = {k: v for k, v in weights_file.read_state(spec.path).items() if not k.startswith("aux_classifier.")}
    try:
        with torch.device("meta"):  # no time for random numbers that the checkpoint replaces anyway
            net = spec.build(len(spec.classes))
        _check_kinds(state, net.state_dict())
        net.load_state_dict(state, assign=True)  # compares names and shapes before anything is computed of them
    except (RuntimeError, TypeError) as error:  # an option that the architecture does not have is a TypeError
        raise WeightsError(
            f"{spec.path.name} does not fit {spec.name} with {len(spec.classes)} classes "
            f"({weights_file.first_line(error, 1).split(',')[0]}): "
            "name the model it was made for with --model."
        ) from None
    _check_finite(net.state_dict(), spec.path.name)
    return net.float().eval()


def _from_hub(spec: ModelSpec) -> "nn.Module":
    """The tutorials' way: torch.hub fetches torchvision's code at a pinned tag and runs it."""
    import torch

    try:
        with contextlib.redirect_stdout(sys.stderr):
            net: Any = torch.hub.load(  # type: ignore[no-untyped-call]
                HUB_REPOSITORY, spec.name, weights="COCO_WITH_VOC_LABELS_V1", trust_repo=True
            )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"torch.hub could not load {spec.name} from {HUB_REPOSITORY} ({weights_file.first_line(error)}): "
            "leave out --source hub to use the installed torchvision."
        ) from None
    if not callable(getattr(net, "eval", None)):
        raise WeightsError(f"torch.hub gave a {type(net).__name__} for {spec.name}, expected a net.")
    net.aux_classifier = None  # serves training alone
    net.eval()
    return cast("nn.Module", net)


def _check_kinds(state: "dict[str, Tensor]", expected: "dict[str, Tensor]") -> None:
    """Raises `RuntimeError` like torch, which takes any kind of number."""
    for key in state.keys() & expected.keys():
        if state[key].is_floating_point() != expected[key].is_floating_point():
            raise RuntimeError(f"\n{key} holds {state[key].dtype}")


def _check_finite(state: "dict[str, Tensor]", name: str) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(f"{name} holds NaN or infinite numbers in {key}: the checkpoint is damaged.")
