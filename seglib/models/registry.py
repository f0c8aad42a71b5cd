"""Registry of models: look up a `ModelSpec` by model name or checkpoint file.

A spec holds everything that defines a model: classes, preprocessing constants, native resize and weights. This module
does not import torch; `seglib.models.loading` downloads and loads the weights.
"""

import importlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from seglib.classes import VOC_CLASSES
from seglib.data.resize import Resize, input_size_wh, side_rule
from seglib.data.worker_processes import check_importable
from seglib.errors import UnknownName, UsageError, WeightsError
from seglib.models import weights_file
from seglib.models.adapter import Adapter, ModelRequest
from seglib.models.checkpoint import contents, metadata, mismatch, selection
from seglib.models.checkpoint.selection import Selection

if TYPE_CHECKING:
    from torch import nn

CHECKPOINT_FOLDER = Path(__file__).parents[1] / "checkpoints"
DEFAULT_MODEL = "fcn_mobilenet_v2"
HUB_REPOSITORY = "pytorch/vision:v0.22.0"
"""torch.hub repository and tag that `--source hub` loads."""

GFLOPS_SIDE = 520
"""Side in pixels of the square image for which `ModelSpec.gflops` is counted, as in torchvision's figures."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Builder:
    """A function of `seglib.models` that builds an architecture; compares by value and can be pickled."""

    module: str
    function: str
    defaults: tuple[tuple[str, str], ...] = ()
    """What a model of this name is built with if nothing else is said."""
    options: tuple[tuple[str, str], ...] = ()

    def __call__(self, classes: int) -> "nn.Module":
        build = getattr(importlib.import_module(f"seglib.models.{self.module}"), self.function)
        model: nn.Module = build(classes, **dict(self.defaults) | dict(self.options))
        return model


def _torchvision_builder(name: str) -> Builder:
    return Builder("layers", "build_torchvision_model", (("name", name),))


def _build_foreign(_classes: int) -> "nn.Module":
    raise UsageError("A model that is not built in cannot be trained here: choose an architecture of `seglib models`.")


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSpec:
    """Everything that defines a model. Specs compare by what is loaded, whatever the folder in which its weights lie.

    A spec can be pickled: it names the weights by their file and digest. What cannot be imported by another process,
    such as a model of the script that runs, raises `UsageError` then.
    """

    name: str
    """Part of the run's name: letters, digits, `.`, `_` and `-`."""
    build: "Callable[[int], nn.Module]" = _build_foreign
    """Number of classes -> the model without weights."""
    weights: str
    """File name in `seglib/checkpoints` or in torch's hub folder; for any other source the full path."""
    sha256: str = ""
    """What the file's SHA-256 begins with, in hex: as published, or when the model was found; empty if unknown."""
    parameters: int
    """Number of parameters, without the auxiliary head; 0 if unknown."""
    gflops: float | None = None
    """GFLOPs for one 520x520 image, a multiply-add counted once, without the auxiliary head. torchvision's published
    figures include that head, which runs only in training: 10 more for each ResNet model.
    """
    source: str = "torchvision"
    """`embedded`, `torchvision`, `hub` (code and weights from torch.hub), `file` (from --weights) or `foreign`."""
    classes: tuple[str, ...] = VOC_CLASSES
    trained_classes: tuple[str, ...] | None = None
    """Those of `classes` that the training showed the model; None if unknown."""
    resize: Resize = Resize("short:520")
    """Native resize, the default for --resize."""
    net_side: int = 0
    """Short side in pixels of the model's input, in the image's own aspect ratio and independent of the mask grid, so
    that objects have the same size and shape for the model at 224 as at short:640. 0: the input has the grid's size.
    """
    input_rule: Resize | None = None
    """Rule from an image to the model's input, whatever the mask grid; `net_side` is short for one such rule."""
    fp32_blocks: tuple[str, ...] = ()
    """Submodules kept in float32 when the model runs in bf16: those whose rounding changes masks most (measured)."""
    feature_block: str = "backbone"
    """Submodule whose last feature map is pooled to embeddings, where the backbone's own last one is too large to keep:
    MobileNetV2's 320 channels find photos of the same animal nearly as well as its 1,280 (98 % of 20, not 99 %).
    """
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    selection: Selection = Selection()
    """Where a checkpoint holds the weights."""
    channels: str = "rgb"
    """Order of the channels that a checkpoint was trained with: `bgr` turns its first convolution round."""
    adapter: Adapter | None = None
    """How the model is loaded, if it is not built in."""
    request: ModelRequest | None = None
    """What a person named the model by, if a name of `MODELS` is not enough to find it again."""

    @cached_property
    def _identity(self) -> tuple[object, ...]:
        """All that decides a mask. A digest stands for the file of weights."""
        left_out = {"request", "trained_classes", *(["weights"] if self.sha256 else [])}
        return tuple(getattr(self, one.name) for one in fields(self) if one.name not in left_out)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelSpec) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __getstate__(self) -> dict[str, object]:
        check_importable(self.build, f"The architecture of {self.name}")
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @property
    def untrained_classes(self) -> tuple[str, ...]:
        """Classes that the model has names for, but that its training never showed it; empty if that is unknown."""
        known = self.classes if self.trained_classes is None else self.trained_classes
        return tuple(name for name in self.classes if name not in known)

    def input_resize(self, resize: Resize) -> Resize:
        """Resize rule for the model's input, given the rule for the mask grid; logits are resampled to the grid."""
        return self.own_input_rule or resize

    @property
    def own_input_rule(self) -> Resize | None:
        """`input_rule`, or what `net_side` stands for; None if the model's input has the grid's size."""
        return self.input_rule or side_rule(self.net_side)

    def gflops_at(self, width: int, height: int) -> float | None:
        """GFLOPs for one input image of this size, scaled by its area (exact for fully convolutional models)."""
        if self.gflops is None:
            return None
        return self.gflops * width * height / math.prod(input_size_wh(GFLOPS_SIDE, GFLOPS_SIDE, self.net_side))

    @property
    def path(self) -> Path:
        """Path of the weights file, whether or not it has been downloaded."""
        if self.source == "embedded":
            return CHECKPOINT_FOLDER / self.weights
        if self.source in ("torchvision", "hub"):
            return hub_folder() / self.weights
        return Path(self.weights)


_torchvision_spec = partial(ModelSpec, source="torchvision")  # COCO_WITH_VOC_LABELS_V1, in torch's cache folder

_ANIMALS_AND_SURROUNDINGS = tuple(
    name for name in VOC_CLASSES if name not in ("aeroplane", "bird", "boat", "bottle", "bus", "diningtable", "train")
)
"""The classes of VOC's photos of animals, on which the bundled U-Net was trained."""

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="fcn_mobilenet_v2",
            build=Builder("fcn", "fcn_mobilenet_v2", (("head", "fused"),)),
            weights="fcn_mobilenet_v2_voc.safetensors",
            sha256="380837efa0aba92fa3a137a8bfd5c29d894ce1c8d9ceab3f07311ce75325883a",
            parameters=2_425_498,
            gflops=1.267,
            source="embedded",
            resize=Resize("224"),
            net_side=320,
            fp32_blocks=("backbone.0", "backbone.1", "backbone.2"),
            feature_block="backbone.17",
        ),
        ModelSpec(
            name="unet_mobilenet_v2",
            build=Builder("unet", "unet_mobilenet_v2"),
            weights="unet_mobilenet_v2_voc.safetensors",
            sha256="44686acf6b2dd5d31edcefae1893feee30d6244b7b9945b7c5d3908c7f571171",
            trained_classes=_ANIMALS_AND_SURROUNDINGS,
            parameters=3_272_634,
            gflops=3.304,
            source="embedded",
            resize=Resize("224"),
            net_side=320,
            fp32_blocks=("backbone.0", "backbone.1", "backbone.2"),
            feature_block="backbone.17",
        ),
        _torchvision_spec(
            name="fcn_resnet50",
            build=_torchvision_builder("fcn_resnet50"),
            weights="fcn_resnet50_coco-1167a1af.pth",
            sha256="1167a1affa42e1e62858f8d3fac12d109e0108327ffc91c5855a324b11683c36",
            parameters=32_957_013,
            gflops=142.726,
        ),
        _torchvision_spec(
            name="fcn_resnet101",
            build=_torchvision_builder("fcn_resnet101"),
            weights="fcn_resnet101_coco-7ecb50ca.pth",
            sha256="7ecb50ca17844860a70d5ed0c748d997cf8adb62932abaa0233430c68594d749",
            parameters=51_949_141,
            gflops=222.747,
        ),
        _torchvision_spec(
            name="deeplabv3_resnet50",
            build=_torchvision_builder("deeplabv3_resnet50"),
            weights="deeplabv3_resnet50_coco-cd0a2569.pth",
            sha256="cd0a2569",
            parameters=39_638_869,
            gflops=168.731,
        ),
        _torchvision_spec(
            name="deeplabv3_resnet101",
            build=_torchvision_builder("deeplabv3_resnet101"),
            weights="deeplabv3_resnet101_coco-586e9e4e.pth",
            sha256="586e9e4e",
            parameters=58_630_997,
            gflops=248.752,
        ),
        _torchvision_spec(
            name="deeplabv3_mobilenet_v3_large",
            build=_torchvision_builder("deeplabv3_mobilenet_v3_large"),
            weights="deeplabv3_mobilenet_v3_large-fc3c493d.pth",
            sha256="fc3c493d",
            parameters=11_025_477,
            gflops=10.436,
        ),
        _torchvision_spec(
            name="lraspp_mobilenet_v3_large",
            build=_torchvision_builder("lraspp_mobilenet_v3_large"),
            weights="lraspp_mobilenet_v3_large-d234d4ea.pth",
            sha256="d234d4ea",
            parameters=3_221_538,
            gflops=2.086,
        ),
    )
}

TRAINABLE: dict[str, "Callable[[int], nn.Module]"] = {
    "fcn_mobilenet_v2": Builder("fcn", "fcn_mobilenet_v2"),  # checkpoints that name no head use torchvision's
    "unet_mobilenet_v2": Builder("unet", "unet_mobilenet_v2"),
    "unet_resnet34": Builder("unet", "unet_resnet34"),
    "segnet": Builder("segnet", "segnet"),
}
"""Builders for `seglib train`: architectures missing from `MODELS`, or built differently there."""


def trainable_names() -> tuple[str, ...]:
    return tuple(sorted({*TRAINABLE, *MODELS}))


def get_model_builder(name: str, options: tuple[tuple[str, str], ...] = ()) -> "Callable[[int], nn.Module]":
    """Builder (number of classes -> model without weights) of the architecture that `seglib train` uses by this name.

    Raises `UnknownName`.
    """
    if name not in trainable_names():
        raise UnknownName("model", name, trainable_names())
    build = TRAINABLE[name] if name in TRAINABLE else MODELS[name].build
    if not options:
        return build
    return replace(build, options=options) if isinstance(build, Builder) else partial(build, **dict(options))


def find_model_spec(
    name: str | None = None,
    weights: Path | None = None,
    *,
    source: str = "torchvision",
    request: ModelRequest | None = None,
) -> ModelSpec:
    """Return the spec of a model by name, weights file or both; a weights file may name its model itself.

    `request` holds what else a person said of a weights file: classes, mean, std and channels. Raises `UnknownName`,
    `UsageError` or `WeightsError`.
    """
    if weights is not None:
        return _spec_from_file(replace(request or ModelRequest(), model=name, weights=str(weights)), weights)
    if name is not None and name not in MODELS:
        raise UnknownName("model", name, MODELS)
    spec = MODELS[name or DEFAULT_MODEL]
    if source == "hub" and spec.source != "torchvision":
        raise UsageError(f"{spec.name} is not on torch.hub: leave out `source` hub.")
    return replace(spec, source=source) if source == "hub" else spec


def hub_folder() -> Path:
    """torch.hub's checkpoint folder, resolved as torch does but without importing it."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.getenv("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def _spec_from_file(request: ModelRequest, weights: Path) -> ModelSpec:
    """Spec from a checkpoint: one of `seglib train` names its model and classes; of others the request says them."""
    if request.model is not None and request.model not in trainable_names():
        raise UnknownName("model", request.model, trainable_names())
    if (other := mismatch.describe_file(weights, contents.file_kind(weights))) is not None:
        raise other
    request = replace(request, weights=str(weights.absolute()))
    about = metadata.read(weights)
    if "architecture" in about:
        return _spec_from_metadata(request, weights, about)
    if request.model is None:
        found = contents.read_contents(weights)
        raise mismatch.describe_nameless(found, selection.fitting_architectures(found))
    return _spec_from_tensors(request, weights, about)


def _spec_from_metadata(request: ModelRequest, weights: Path, about: dict[str, str]) -> ModelSpec:
    name, architecture = request.model, about["architecture"]
    if name is not None and architecture != name:
        raise WeightsError(f"{weights.name} was made for {architecture}, not for {name}: leave out `model`.")
    if architecture not in trainable_names():
        raise UnknownName("model", architecture, trainable_names())
    try:
        options = metadata.parse_options(about)
    except (ValueError, AttributeError, RecursionError):
        raise metadata.unreadable(weights) from None
    count = weights_file.count_parameters(weights)
    return _apply_metadata(_file_spec(request, weights, architecture, options, count), about)


def _spec_from_tensors(request: ModelRequest, weights: Path, about: dict[str, str]) -> ModelSpec:
    """Spec from a checkpoint that holds tensors, and nothing or not enough about them."""
    assert request.model is not None
    found = selection.find_weights(contents.read_contents(weights), request.model)
    spec = _apply_metadata(_file_spec(request, weights, request.model, found.options, found.parameters), about)
    named = request.classes is not None or "classes" in about
    return replace(spec, selection=selection.match_outputs(weights.name, found, spec.classes, named=named))


def _file_spec(
    request: ModelRequest, weights: Path, architecture: str, options: tuple[tuple[str, str], ...], parameters: int
) -> ModelSpec:
    """Spec of an architecture with weights of one's own, as far as the request says what they are."""
    spec = MODELS[architecture] if architecture in MODELS else _spec_without_weights(architecture)
    return replace(
        spec,
        build=get_model_builder(architecture, options),
        weights=str(weights),
        sha256=weights_file.file_sha256(weights),
        source="file",
        request=request,
        parameters=parameters or spec.parameters,
        gflops=None if architecture in TRAINABLE else spec.gflops,
        net_side=0,
        classes=request.classes or spec.classes,
        mean=request.mean or spec.mean,
        std=request.std or spec.std,
        channels=request.channels or "rgb",
    )


def _apply_metadata(spec: ModelSpec, about: dict[str, str]) -> ModelSpec:
    """Replace what a safetensors file says of itself. Raises `UsageError` if the request says something else."""
    try:
        said = replace(
            spec,
            parameters=int(about.get("parameters", 0)) or spec.parameters,
            classes=metadata.parse_class_names(json.loads(about["classes"])) if "classes" in about else spec.classes,
            trained_classes=metadata.parse_trained_classes(about),
            resize=Resize(about["resize"]) if "resize" in about else spec.resize,
            net_side=metadata.parse_net_side(about),
            mean=metadata.parse_rgb(json.loads(about["mean"])) if "mean" in about else spec.mean,
            std=metadata.parse_rgb(json.loads(about["std"]), positive=True) if "std" in about else spec.std,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError):
        raise metadata.unreadable(spec.path) from None
    for name in ("classes", "mean", "std"):
        given = getattr(spec.request, name)
        if given is not None and name in about and given != getattr(said, name):
            raise UsageError(f"{spec.path.name} names its {name} itself, and it is another: leave out `{name}`.")
    if "architecture" in about and spec.channels == "bgr":
        raise UsageError(f"{spec.path.name} says its preprocessing itself, and it is RGB: leave out `channels`.")
    return said


def _spec_without_weights(architecture: str) -> ModelSpec:
    """Default spec of an architecture without published weights, before a checkpoint's metadata is applied."""
    return ModelSpec(
        name=architecture, build=get_model_builder(architecture), weights="", parameters=0, resize=Resize("224")
    )
