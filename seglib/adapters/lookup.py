"""Find a model by its name, its folder or file, its code, or as an object, and describe it by a `ModelSpec`."""

import importlib
import os
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.annotations.class_names import as_class_names
from seglib.errors import UnknownName, UsageError
from seglib.models import loading, registry
from seglib.models.adapter import ModelRequest
from seglib.models.registry import DEFAULT_MODEL, MODELS, ModelSpec

if TYPE_CHECKING:
    from torch import nn

Model = ModelSpec | str | os.PathLike[str] | Callable[..., Any]
"""What a model is given as: a spec, a name, a path, or a torch module or other callable."""

Finder = Callable[[ModelRequest, str], ModelSpec]
"""Each kind's `find`: the request, and its `model` without the prefix -> the spec, without loading the weights."""

ENTRY_POINT_GROUP = "seglib.models"
"""Entry points of this group are factories of models, named like built-in models: `name = "package.module:factory"`."""

_BY_PREFIX = {"hf": "hugging_face", "smp": "smp"}

_BY_SUFFIX = {
    ".onnx": "openvino_file",
    ".xml": "openvino_file",
    ".pt2": "torch_export.adapter",
    ".ts": "torch_export.adapter",
}

_CHECKPOINTS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".tar")
_ARCHIVES = (".pt", ".pth", ".bin")
"""Checkpoints, or models that torch exported: their content tells."""

FORMS = (
    "a name of `seglib models`, hf:FOLDER, smp:FOLDER, a .onnx, .xml or .pt2 file, package.module:factory, "
    "file.py:factory, or a checkpoint by `weights`"
)


def find_model(
    model: Model | None = None,
    *,
    weights: str | os.PathLike[str] | None = None,
    source: str = "torchvision",
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channels: str | None = None,
    output: str | None = None,
    scores: str | None = None,
    input: str | None = None,  # the word that it is about
    allow_pickle: bool = False,
    run_code: bool = False,
) -> ModelSpec:
    """Find any model, and describe it without loading it.

    Args:
        model: A name of `MODELS` or of an installed plug-in, `hf:FOLDER` or `hf:ID` (Hugging Face transformers),
            `smp:FOLDER` (segmentation_models_pytorch), the path of an ONNX, OpenVINO or torch.export file or of a
            checkpoint made by `seglib train`, `package.module:factory`, `file.py:factory`, or a torch module or any
            callable. By default the one that `weights` names, or `fcn_mobilenet_v2`.
        weights: A checkpoint for the built-in architecture that `model` names.
        source: "hub" loads code and weights of a torchvision model from torch.hub.
        classes: Class names in index order, or the path of a file with one per line, where the model names none.
        mean: Mean of the normalisation, three numbers for images of range 0..1, where the model names none.
        std: Standard deviation of the normalisation.
        channels: "rgb" or "bgr", the order of the model's input.
        output: Name of the output that holds the scores, of a model with several.
        scores: "logits", "probabilities" or "masks", where the model's output can be read in several ways.
        input: "normalised" or "uint8": what a module or function takes. By default RGB normalised by `mean` and `std`.
        allow_pickle: Allow weights in pickle files, in a Hugging Face folder without safetensors.
        run_code: Allow a TorchScript file, which holds code.

    Returns:
        The spec that `run`, `predict` and `load_model` take.

    Raises:
        UnknownName: No model has this name.
        UsageError: The model cannot be found, or something must be added to use it.
        WeightsError: Its files are damaged, or do not fit each other.

    Example:
        spec = seglib.find_model("net.onnx", classes="background,cat,dog")
    """
    names = as_class_names(classes)
    if isinstance(model, ModelSpec):
        if any(value is not None for value in (weights, names, mean, std, channels, output, scores)):
            raise UsageError("A ModelSpec says its classes, mean and std itself: leave them out, or name the model.")
        return model
    request = ModelRequest(
        model=None if model is None or not isinstance(model, str | os.PathLike) else os.fspath(model),
        weights=None if weights is None else os.fspath(weights),
        source=source,
        classes=names,
        mean=_as_rgb("mean", mean),
        std=_as_rgb("std", std),
        channels=channels,
        output=output,
        scores=scores,
        input=input,
        allow_pickle=allow_pickle,
        run_code=run_code,
    )
    if model is not None and not isinstance(model, str | os.PathLike):
        check_request(request)
        return _kind("python_code.objects").find_object(request, model)  # type: ignore[no-any-return]
    return find_requested(request)


def find_requested(request: ModelRequest) -> ModelSpec:
    """The spec of a model that a request names. Raises as `find_model` does."""
    check_request(request)
    name = request.model
    if request.weights is not None or name is None or name in registry.trainable_names():
        return _find_built_in(request)
    prefix, _, rest = name.partition(":")
    if rest and prefix in _BY_PREFIX:
        return _find(_BY_PREFIX[prefix], request, rest)
    if (kind := _kind_of_file(Path(name))) is not None:
        return _find(kind, request, name)
    if Path(name).suffix.lower() in _CHECKPOINTS or Path(name).is_file():
        return registry.find_model_spec(weights=Path(name), request=request)
    if ":" in name or name in plugin_names():
        return _find("python_code.factory", request, name if ":" in name else _plugin(name))
    if Path(name).is_dir():
        raise UsageError(f"{name!r} is a folder: write hf:{name} (transformers) or smp:{name}.")
    raise UnknownName("model", name, (*MODELS, *plugin_names()))


def _kind_of_file(path: Path) -> str | None:
    """The module that finds models of this kind of file; None for a checkpoint, and for what names no file."""
    suffix = path.suffix.lower()
    if suffix == ".py":
        raise UsageError(f"{path} is code: name the function in it that makes the model, as {path}:FUNCTION.")
    if suffix in _ARCHIVES and _kind("torch_export.adapter").recognise(path) is not None:
        return "torch_export.adapter"
    return _BY_SUFFIX.get(suffix)


def runs_code(request: ModelRequest) -> bool:
    """Whether finding or loading this model runs code that is neither this program's nor an installed plug-in's."""
    name = request.model or ""
    if request.run_code or request.allow_pickle or request.source == "hub":
        return True
    if request.weights is not None or name in registry.trainable_names() or name in plugin_names():
        return False
    prefix, _, rest = name.partition(":")
    suffix = Path(name).suffix.lower()
    return bool(rest) and prefix not in _BY_PREFIX and suffix not in (*_BY_SUFFIX, *_CHECKPOINTS)


def check_request(request: ModelRequest) -> None:
    """Raise `UnknownName` for a value that is not among the known ones, and `UsageError` for one out of range."""
    for kind, value, known in (
        ("order of channels", request.channels, ("rgb", "bgr")),
        ("kind of scores", request.scores, ("logits", "probabilities", "masks")),
        ("kind of input", request.input, ("normalised", "uint8")),
    ):
        if value is not None and value not in known:
            raise UnknownName(kind, value, known)
    if request.mean is not None and not all(-1 <= value <= 1 for value in request.mean):
        raise UsageError(
            "`mean` is for images of range 0..1: expected numbers up to 1 (divide those for 0..255 by 255)."
        )
    if request.std is not None and not all(0 < value <= 10 for value in request.std):
        raise UsageError(
            "`std` is for images of range 0..1: expected positive numbers (divide those for 0..255 by 255)."
        )


def plugin_names() -> tuple[str, ...]:
    """Names of the models that installed packages offer by the entry point group `seglib.models`."""
    return tuple(plugins())


def plugins() -> dict[str, str]:
    """Name -> `package.module:factory` of each such model, sorted by name."""
    return {point.name: point.value for point in sorted(metadata.entry_points(group=ENTRY_POINT_GROUP))}


def _plugin(name: str) -> str:
    values = {point.value for point in metadata.entry_points(group=ENTRY_POINT_GROUP, name=name)}
    if len(values) > 1:
        raise UsageError(f"Several packages offer a model {name!r}: name one of {', '.join(sorted(values))}.")
    return values.pop()


def _find_built_in(request: ModelRequest) -> ModelSpec:
    """A built-in architecture, with its own weights or those of a checkpoint."""
    for option in (
        "output",
        "scores",
        "input",
        *(("classes", "mean", "std", "channels") if not request.weights else ()),
    ):
        if getattr(request, option) is not None:
            offer = "" if request.weights else ", or give a checkpoint with `weights`"
            raise UsageError(
                f"{request.model or DEFAULT_MODEL} is built in and needs no `{option}`: leave it out{offer}."
            )
    weights = None if request.weights is None else Path(request.weights)
    return registry.find_model_spec(request.model, weights, source=request.source, request=request)


def _find(module: str, request: ModelRequest, target: str) -> ModelSpec:
    spec: ModelSpec = _kind(module).find(request, target)
    return spec


def _kind(module: str) -> Any:
    return importlib.import_module(f"seglib.adapters.{module}")


def _as_rgb(name: str, values: Sequence[float] | None) -> tuple[float, float, float] | None:
    if values is None:
        return None
    try:
        red, green, blue = map(float, values)
    except (TypeError, ValueError):
        raise UsageError(f"`{name}` is three numbers, one per channel, not {values!r}.") from None
    return red, green, blue


def load_model(model: Model = DEFAULT_MODEL) -> "nn.Module":
    """Load a model with its weights, downloading them first if they are published and not here yet.

    Args:
        model: A name of `MODELS`, the path of a checkpoint made by `seglib train`, a `ModelSpec`, or anything else that
            `find_model` takes and that is a torch module.

    Returns:
        The module on the CPU, in float32 and eval mode. A built-in model maps normalised RGB, float (B, 3, H, W), to
        `{"out": logits}`, float (B, C, H, W); `ModelSpec.mean` and `ModelSpec.std` normalise images of range 0..1.

    Raises:
        UnknownName: No model has this name.
        WeightsError: The weights are missing, damaged, or do not fit the architecture.

    Example:
        model = seglib.load_model("fcn_mobilenet_v2")
    """
    spec = find_model(model)
    loading.ensure_weights(spec)
    return loading.load(spec)
