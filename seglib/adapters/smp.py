"""Models of segmentation_models_pytorch, saved by save_pretrained: `smp:FOLDER`, with the extra `smp`.

A folder holds config.json, which names the architecture and its arguments, and model.safetensors. The sides of the
input are padded to multiples of the encoder's output stride. Nothing is downloaded.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.adapters import identity
from seglib.classes import are_valid_class_names
from seglib.data.resize import Resize
from seglib.errors import SegError, UsageError, WeightsError
from seglib.models import weights_file
from seglib.models.adapter import Adapter, Backend, ModelRequest, OutputKind
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("segmentation-models-pytorch", "timm")
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"

_OUTPUTS: dict[str | None, OutputKind | None] = {
    None: "logits",
    "identity": "logits",
    "logsoftmax": "logits",
    "sigmoid": "probabilities",
    "softmax": "probabilities",
    "softmax2d": "probabilities",
    "argmax2d": "masks",
    "tanh": None,
    "clamp": None,
}
"""Activation -> what the model gives; None: it can be read in several ways."""

_LOADS_MORE = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "weights"}
"""Arguments that would make an encoder load files or download them."""

_HALF = (0.5, 0.5, 0.5)
_DPN = (tuple(one / 255 for one in (124, 117, 104)), (1 / (0.0167 * 255),) * 3)
_NORMALISATIONS = {
    "inceptionresnetv2": (_HALF, _HALF),
    "inceptionv4": (_HALF, _HALF),
    "xception": (_HALF, _HALF),
    "timm-tf_efficientnet_lite": (_HALF, _HALF),
    "dpn": _DPN,
}
"""Beginning of an encoder's name -> (mean, std) of its published weights, where they are not ImageNet's."""


@dataclass(frozen=True)
class SmpAdapter(Adapter):
    """A folder of save_pretrained."""

    folder: str
    config: str
    """The architecture's arguments, as JSON; `_model_class` is its name."""
    weights: str
    """Name of the file of weights."""
    sha256: str
    """Of that file when the model was found; what is loaded must still have it."""
    scores: OutputKind | None
    channels: str
    says_mean: bool
    """Whether the normalisation is known, from the request or the encoder's weights."""

    precisions = ("fp32", "bf16")

    @property
    def weights_sha256(self) -> str:
        return self.sha256

    @property
    def code(self) -> str:
        config = json.loads(self.config)
        config.pop("encoder_weights", None)  # where training began
        return identity.describe_code("smp", *PACKAGES, config=config, scores=self.scores, channels=self.channels)

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:
        from seglib.adapters.module_backend import CallOptions, ModuleBackend

        model = self.load_module(spec)
        options = CallOptions(scores=self.scores, channels=self.channels, multiple=model.encoder.output_stride)  # type: ignore[arg-type, union-attr]
        backend = ModuleBackend(model.to(device), spec, precision, device, options)
        config = json.loads(self.config)
        notes = list(backend.notes)
        if not self.says_mean:
            notes.append(
                f"{spec.name}: photos are normalised by ImageNet's mean and std, since its folder does not name the "
                "encoder's weights."
            )
        if config.get("activation") == "sigmoid" and len(spec.classes) > 2:
            notes.append(
                f"{spec.name} gives each class a probability of its own, so that classes may overlap: a pixel gets the "
                "class with the highest."
            )
        backend.notes = notes
        return backend

    def load_module(self, spec: ModelSpec) -> "nn.Module":
        import torch

        ensure_installed()
        config = json.loads(self.config)
        model = _build(config, spec.name)
        weights = Path(self.folder, self.weights)
        weights_file.check_unchanged(weights, self.sha256)
        state = weights_file.read_state_dict(weights)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"{self.weights} of {spec.name} does not fit its {CONFIG_FILE} ({weights_file.first_line(error, 1)})."
            ) from None
        for name, value in model.state_dict().items():
            if torch.is_floating_point(value) and not bool(value.isfinite().all()):
                raise WeightsError(f"{self.weights} of {spec.name} holds NaN or infinite numbers in {name}.")
        module: nn.Module = model.float().eval().requires_grad_(False)
        return module


def ensure_installed() -> None:
    """Raise `SegError` with install instructions if segmentation_models_pytorch is missing."""
    if find_spec("segmentation_models_pytorch") is None:
        raise SegError(
            "smp: needs segmentation_models_pytorch, which is not installed: pip install '.[smp]' in the project's "
            "folder."
        )


def find(request: ModelRequest, target: str) -> ModelSpec:
    """The spec of a folder of save_pretrained. Raises `UsageError` or `WeightsError`."""
    ensure_installed()
    folder = Path(target).absolute()
    weights = _weights_name(folder, request)
    config, names = _read_config(folder)
    classes = _classes(request, config, names, folder.name)
    activation = config.get("activation")
    known = _normalisation(config)
    mean, std = known or (IMAGENET_MEAN, IMAGENET_STD)
    spec = ModelSpec(
        name=identity.model_name(folder.name),
        weights=str(folder / weights),
        parameters=weights_file.count_parameters(folder / weights),
        source="foreign",
        classes=classes,
        mean=request.mean or mean,
        std=request.std or std,
        input_rule=_fixed_input(config),
        adapter=SmpAdapter(
            folder=str(folder),
            config=json.dumps(config, sort_keys=True),
            weights=weights,
            sha256=weights_file.file_sha256(folder / weights),
            scores=request.scores or _OUTPUTS.get(activation),  # type: ignore[arg-type]  # checked by lookup
            channels=request.channels or "rgb",
            says_mean=known is not None or request.mean is not None,
        ),
    )
    if request.input == "uint8":
        raise UsageError(f"{spec.name} takes normalised photos: leave out `input` uint8.")
    return replace(spec, request=replace(request, model=f"smp:{folder}"))


def _weights_name(folder: Path, request: ModelRequest) -> str:
    if not folder.is_dir():
        if folder.is_file():
            raise UsageError(
                f"{folder.name} is a file, and weights alone do not say which architecture they are for: save the "
                "model by its save_pretrained(FOLDER) and give smp:FOLDER, or write a function that makes it and give "
                "file.py:FUNCTION."
            )
        raise UsageError(f"There is no folder {str(folder)!r}.")
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"{str(folder)!r} has no {CONFIG_FILE}: save the model by its save_pretrained(FOLDER).")
    if (folder / WEIGHTS_FILE).is_file():
        return WEIGHTS_FILE
    if (folder / "pytorch_model.bin").is_file():
        if not request.allow_pickle:
            raise UsageError(f"{folder.name} holds a pickle file of weights: allow it with `allow_pickle`.")
        return "pytorch_model.bin"
    raise WeightsError(f"{str(folder)!r} has no {WEIGHTS_FILE}: save the model by its save_pretrained(FOLDER).")


def _read_config(folder: Path) -> tuple[dict[str, Any], object]:
    """(architecture's arguments with `_model_class`, names of its classes as far as given). Raises `WeightsError`."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise WeightsError(f"{CONFIG_FILE} of {folder.name} cannot be read as JSON.") from None
    if not isinstance(config, dict) or not isinstance(config.get("_model_class"), str):
        hint = f": give hf:{folder}" if isinstance(config, dict) and "architectures" in config else ""
        raise WeightsError(
            f"{CONFIG_FILE} of {folder.name} does not name an architecture of segmentation_models_pytorch "
            f"('_model_class'){hint}."
        )
    names = config.pop("class_names", None)
    if isinstance(names, Mapping):
        names = list(names.values())
    config = {key: value for key, value in config.items() if key == "_model_class" or not key.startswith("_")}
    if ":" in str(config.get("encoder_name")) or (found := _LOADS_MORE & config.keys()):
        what = f"an encoder {config['encoder_name']!r}" if ":" in str(config.get("encoder_name")) else min(found)
        raise WeightsError(f"{CONFIG_FILE} of {folder.name} names {what}, which would load other files: refused.")
    if config.get("in_channels", 3) != 3:
        raise WeightsError(f"{folder.name} takes images of {config['in_channels']} channels, not of 3.")
    if type(config.get("classes", 1)) is not int or config.get("classes", 1) < 1:
        raise WeightsError(f"{CONFIG_FILE} of {folder.name} does not say how many classes it has.")
    return config, names


def _classes(request: ModelRequest, config: Mapping[str, Any], names: object, folder: str) -> tuple[str, ...]:
    channels = config.get("classes", 1)
    if request.classes is not None:
        found = request.classes
    elif names is None:
        count = (
            "one output channel: name two classes, the second of which it is for"
            if channels == 1
            else (f"{channels} classes: name them in index order")
        )
        raise UsageError(f"{folder} has {count}, with `classes`.")
    elif isinstance(names, list) and are_valid_class_names(tuple(names)):
        found = tuple(names)
    else:
        raise WeightsError(f"{CONFIG_FILE} of {folder} has class_names that cannot be used: name them with `classes`.")
    if len(found) != (2 if channels == 1 else channels):
        raise UsageError(
            f"{len(found)} classes were named, and {folder} has "
            f"{'one output channel, which is for the second of two' if channels == 1 else channels}."
        )
    return found


def _normalisation(config: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """(mean, std) that the encoder's published weights were trained with; None if it did not begin with them."""
    encoder, weights = str(config.get("encoder_name", "resnet34")), config.get("encoder_weights")
    if not weights:
        return None
    if encoder.startswith("tu-"):
        settings = _timm_settings(encoder)
        return (tuple(settings["mean"]), tuple(settings["std"])) if settings else None
    if weights == "advprop":
        return _HALF, _HALF
    for beginning, values in _NORMALISATIONS.items():
        if encoder.startswith(beginning):
            return values
    return IMAGENET_MEAN, IMAGENET_STD


def _fixed_input(config: Mapping[str, Any]) -> Resize | None:
    """The only size that the model takes, for a vision transformer with fixed positions."""
    if config["_model_class"] != "DPT" or config.get("dynamic_img_size"):
        return None
    settings = _timm_settings(str(config.get("encoder_name", "tu-vit_base_patch16_224.augreg_in21k")))
    if not settings:
        return None
    _, height, width = settings["input_size"]
    return Resize(f"{width}x{height}")


def _timm_settings(encoder: str) -> dict[str, Any] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from timm.models import get_pretrained_cfg

    settings = get_pretrained_cfg(encoder.removeprefix("tu-"))
    return vars(settings) if settings is not None else None


def _build(config: dict[str, Any], name: str) -> Any:
    """The architecture with random weights, without a download and without a trace in the random numbers."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about deprecated names of encoders
        import segmentation_models_pytorch as smp

        architecture = config.pop("_model_class")
        known = {one.__name__: one for one in smp.MODEL_ARCHITECTURES_MAPPING.values()}
        if architecture not in known:
            raise WeightsError(
                f"{name} is a {architecture}, which is no architecture of segmentation_models_pytorch: "
                f"{', '.join(known)}."
            )
        try:
            with torch.random.fork_rng(devices=[]):
                model = known[architecture](**config | {"encoder_weights": None})
        except Exception as error:  # of any kind, from the arguments of any architecture
            raise WeightsError(
                f"The arguments in {CONFIG_FILE} of {name} do not fit {architecture} "
                f"({weights_file.first_line(error)})."
            ) from None
    for part in model.segmentation_head.modules():
        if isinstance(part, torch.nn.Softmax | torch.nn.LogSoftmax) and part.dim is None:
            part.dim = 1  # what torch takes by default, with a warning
    return model
