"""Download, verify and load a model's weights."""

import contextlib
import sys
from typing import TYPE_CHECKING, Any, cast

from seglib.errors import WeightsError
from seglib.models import weights_file
from seglib.models.registry import DEFAULT_MODEL, HUB_REPOSITORY, ModelSpec, hub_folder

if TYPE_CHECKING:
    from torch import Tensor, nn


def weights_sha256(spec: ModelSpec) -> str:
    """SHA-256 of the weights file. Raises `WeightsError` if it does not match the published hash."""
    if spec.adapter is not None:
        return spec.adapter.weights_sha256
    digest = weights_file.file_sha256(spec.path)
    if not digest.startswith(spec.sha256):
        raise WeightsError(
            f"{spec.path} is not the published file: its SHA-256 begins with {digest[:8]}, expected {spec.sha256[:8]}. "
            "Delete it and run again to download it."
        )
    return digest


def ensure_weights(spec: ModelSpec) -> None:
    """Download torchvision's weights if they are missing, with a progress bar and a hash check.

    Raises `WeightsError` if the download fails, or if a local weights file does not exist.
    """
    if spec.adapter is not None or spec.path.exists():
        return
    if spec.source in ("embedded", "file"):
        raise WeightsError(f"There is no weights file {str(spec.path)!r}.")
    from torchvision.models import get_model_weights

    try:  # torchvision handles the URL, progress bar, hash check and final rename
        with contextlib.redirect_stdout(sys.stderr):  # keep its messages out of our stdout
            get_model_weights(spec.name)["COCO_WITH_VOC_LABELS_V1"].get_state_dict(
                progress=True, check_hash=True, map_location="meta", weights_only=True
            )
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise WeightsError(
            f"{spec.name} needs the file {spec.weights}, and downloading it failed ({weights_file.first_line(error)}): "
            f"put it into {hub_folder()}, or take `model` {DEFAULT_MODEL}, which works offline."
        ) from None


def load(spec: ModelSpec) -> "nn.Module":
    """Load the model with its weights, on the CPU, in float32 and eval mode.

    Callers must resize images by `ModelSpec.input_resize`. Raises `WeightsError` with a one-sentence message.
    """
    import torch

    if spec.adapter is not None:
        return spec.adapter.load_module(spec)
    weights_sha256(spec)
    if spec.source == "hub":
        return _load_from_hub(spec)
    state = {k: v for k, v in weights_file.read_state_dict(spec.path).items() if not k.startswith("aux_classifier.")}
    try:
        with torch.device("meta"):  # skip random initialisation, which the checkpoint overwrites anyway
            model = spec.build(len(spec.classes))
        _check_dtypes(state, model.state_dict())
        model.load_state_dict(state, assign=True)  # checks names and shapes
    except (RuntimeError, TypeError) as error:  # an option unknown to the architecture raises TypeError
        raise WeightsError(
            f"{spec.path.name} does not fit {spec.name} with {len(spec.classes)} classes "
            f"({weights_file.first_line(error, 1).split(',')[0]}): "
            "name the model it was made for with `model`."
        ) from None
    _check_finite(model.state_dict(), spec.path.name)
    return model.float().eval()


def _load_from_hub(spec: ModelSpec) -> "nn.Module":
    """Load the model by torch.hub, which downloads and runs torchvision's code at a pinned tag."""
    import torch

    try:
        with contextlib.redirect_stdout(sys.stderr):
            model: Any = torch.hub.load(  # type: ignore[no-untyped-call]
                HUB_REPOSITORY, spec.name, weights="COCO_WITH_VOC_LABELS_V1", trust_repo=True
            )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"torch.hub could not load {spec.name} from {HUB_REPOSITORY} ({weights_file.first_line(error)}): "
            "leave out `source` hub to use the installed torchvision."
        ) from None
    if not callable(getattr(model, "eval", None)):
        raise WeightsError(f"torch.hub gave a {type(model).__name__} for {spec.name}, expected a model.")
    model.aux_classifier = None  # used only in training
    model.eval()
    return cast("nn.Module", model)


def _check_dtypes(state: "dict[str, Tensor]", expected: "dict[str, Tensor]") -> None:
    """Raise `RuntimeError` if integers and floats are mixed up, which `load_state_dict` does not check."""
    for key in state.keys() & expected.keys():
        if state[key].is_floating_point() != expected[key].is_floating_point():
            raise RuntimeError(f"\n{key} holds {state[key].dtype}")


def _check_finite(state: "dict[str, Tensor]", name: str) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(f"{name} holds NaN or infinite numbers in {key}: the checkpoint is damaged.")
