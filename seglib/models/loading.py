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
    """SHA-256 of the weights file. Raises `WeightsError` if it is not the one that the spec says."""
    if spec.adapter is not None:
        return spec.adapter.weights_sha256
    digest = weights_file.file_sha256(spec.path)
    if not digest.startswith(spec.sha256):
        if spec.source == "file":
            raise WeightsError(f"{spec.path.name} has changed since it was found: find the model again.")
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
    state = weights_file.read_state_dict(spec.path, spec.selection)
    try:
        with torch.device("meta"):  # skip random initialisation, which the checkpoint overwrites anyway
            model = spec.build(len(spec.classes))
    except TypeError as error:  # an option unknown to the architecture
        raise WeightsError(
            f"{spec.path.name} does not fit {spec.name} ({weights_file.first_line(error)}): "
            "name the model it was made for with `model`."
        ) from None
    expected = model.state_dict()
    if spec.selection.one_output:
        _add_first_class(state, expected)
    _check_fit(state, expected, spec)
    model.load_state_dict({name: _copy(value) for name, value in state.items()}, assign=True)
    _check_finite(model.state_dict(), spec.path.name)
    if spec.channels == "bgr":
        _flip_channels(model)
    return model.float().eval()


def _copy(value: "Tensor") -> "Tensor":
    """A copy in memory, in float32 unless it holds integers: tensors of a file are mapped from it."""
    import torch

    return value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)


def _add_first_class(state: "dict[str, Tensor]", expected: "dict[str, Tensor]") -> None:
    """Turn the layers of scores of a model with one output, the logit of the second class, into those of two classes.

    The first class gets weights of zero, so its logit is 0, and the softmax of both is the sigmoid of the one.
    """
    import torch

    for name, value in state.items():
        shape = expected[name].shape if name in expected else value.shape
        if name.startswith(("classif", "classify")) and (value.shape[:1], shape[:1]) == ((1,), (2,)):
            state[name] = torch.cat([torch.zeros_like(value), value])


def _check_fit(state: "dict[str, Tensor]", expected: "dict[str, Tensor]", spec: ModelSpec) -> None:
    """Raise `WeightsError` unless names, shapes and kinds of numbers are those of the model."""
    missing = [name for name in expected if name not in state]
    unknown = [name for name in state if name not in expected]
    shared = [name for name in expected if name in state]
    misshapen = [name for name in shared if state[name].shape != expected[name].shape]
    mistyped = [name for name in shared if state[name].is_floating_point() != expected[name].is_floating_point()]
    if misshapen:
        name = misshapen[0]
        reason = f"{name} is {tuple(state[name].shape)}, expected {tuple(expected[name].shape)}"
    elif missing:
        reason = f"{missing[0]} is missing"
    elif mistyped:
        reason = f"{mistyped[0]} holds {str(state[mistyped[0]].dtype).removeprefix('torch.')}"
    elif unknown:
        reason = f"{''.join(filter(str.isprintable, unknown[0]))[:80]} is not part of it"
    else:
        return
    fit = len(set(shared) - {*misshapen, *mistyped})
    raise WeightsError(
        f"{spec.path.name} does not fit {spec.name} with {len(spec.classes)} classes ({reason}): {fit} of the model's "
        f"{len(expected)} tensors fit, and {len(unknown)} others are not part of it."
    )


def _flip_channels(model: "nn.Module") -> None:
    """Turn the first convolution round, so that it takes RGB where it was trained with BGR."""
    import torch

    first = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    first.weight = torch.nn.Parameter(first.weight.flip(1))


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


def _check_finite(state: "dict[str, Tensor]", name: str) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise WeightsError(f"{name} holds NaN or infinite numbers in {key}: the checkpoint is damaged.")
