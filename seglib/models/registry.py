"""The models on one screen, and their weights: where they lie, whether they are genuine, how they are loaded.

In: a model's name, or a checkpoint file. Out: a `ModelSpec`; with `load(spec)` the net itself.
A spec carries all that belongs to a model: classes, preprocessing constants, native resize, weights. Looking at specs,
finding and hashing weights needs no torch; only `load` and `download` import it. Knows nothing of photos or stores.
"""

import importlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from seglib.classes import VOC_CLASSES, are_class_names
from seglib.data.resize import Resize, check_net_side, net_wh, sight
from seglib.errors import UnknownName, UsageError, WeightsError
from seglib.models import weights_file

if TYPE_CHECKING:
    from torch import nn

EMBEDDED = Path(__file__).parents[1] / "checkpoints"
DEFAULT_MODEL = "fcn_mobilenet_v2"
HUB_REPOSITORY = "pytorch/vision:v0.22.0"
"""The tag that `--source hub` runs code from."""

GFLOPS_SIDE = 520
"""Of the square picture for which `ModelSpec.gflops` is counted: that of torchvision's own figures."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def _own(name: str, module: str, **chosen: str) -> "Callable[..., nn.Module]":
    def build(classes: int, **options: str) -> "nn.Module":
        builder: Callable[..., nn.Module] = getattr(importlib.import_module(f"seglib.models.{module}"), name)
        return builder(classes, **chosen | options)

    return build


def _torchvision(name: str) -> "Callable[[int], nn.Module]":
    def build(classes: int) -> "nn.Module":
        from seglib.models import layers

        return layers.from_torchvision(name, classes)

    return build


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    name: str
    build: "Callable[[int], nn.Module]"
    """classes -> the net without weights."""
    weights: str
    """File name in `seglib/checkpoints` or in torch's hub folder; for `--weights` the file's whole path."""
    sha256: str = ""
    """The first hex digits that the file's SHA-256 must begin with; empty where nobody published one."""
    parameters: int
    """Of the net that runs, without auxiliary head."""
    gflops: float | None = None
    """Of one picture of 520x520, multiply-adds counted once, without auxiliary head. torchvision publishes the same
    count with that head, which only training runs: 10 more for each net with a ResNet.
    """
    source: str = "torchvision"
    """`embedded`, `torchvision`, `hub` (code and weights by torch.hub) or `file` (from --weights)."""
    classes: tuple[str, ...] = VOC_CLASSES
    resize: Resize = Resize("short:520")
    """Native resize, the default of --resize."""
    net_side: int = 0
    """Short side in pixels at which the net sees every photo, in the photo's own aspect and whatever the grid: what
    fills a photo has one size and shape in its eyes, at 224 as at short:640. 0: it sees what lies on the grid.
    """
    fp32_blocks: tuple[str, ...] = ()
    """Submodules that keep float32 when the net runs in bf16: those whose rounding moves masks most, by measurement."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def sees(self, resize: Resize) -> Resize:
        """The rule by which a photo is resized for the net where `resize` makes the grid: the logits are brought from
        one to the other.
        """
        return sight(resize, self.net_side)

    def gflops_at(self, width: int, height: int) -> float | None:
        """Of one picture that the net sees at this size: a fully convolutional net's operations grow with it."""
        if self.gflops is None:
            return None
        return self.gflops * width * height / math.prod(net_wh(GFLOPS_SIDE, GFLOPS_SIDE, self.net_side))

    @property
    def path(self) -> Path:
        """Where the weights lie, or would lie after the download."""
        if self.source == "embedded":
            return EMBEDDED / self.weights
        if self.source == "file":
            return Path(self.weights)
        return hub_folder() / self.weights


_coco = partial(ModelSpec, source="torchvision")  # COCO_WITH_VOC_LABELS_V1, in torch's own cache folder

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="fcn_mobilenet_v2",
            build=_own("fcn_mobilenet_v2", "fcn", head="context"),
            weights="fcn_mobilenet_v2_voc.safetensors",
            sha256="64fb42d2c91a0913803f9160c453d1949ad910fe2e50476453eefa396c68c7fe",
            parameters=3_078_021,
            gflops=1.429,
            source="embedded",
            resize=Resize("224"),
            net_side=320,
            fp32_blocks=("backbone.0", "backbone.1", "backbone.2"),
        ),
        ModelSpec(
            name="unet_mobilenet_v2",
            build=_own("unet_mobilenet_v2", "unet"),
            weights="unet_mobilenet_v2_voc.safetensors",
            sha256="44686acf6b2dd5d31edcefae1893feee30d6244b7b9945b7c5d3908c7f571171",
            parameters=3_272_634,
            gflops=3.304,
            source="embedded",
            resize=Resize("224"),
            net_side=320,
            fp32_blocks=("backbone.0", "backbone.1", "backbone.2"),
        ),
        _coco(
            name="fcn_resnet50",
            build=_torchvision("fcn_resnet50"),
            weights="fcn_resnet50_coco-1167a1af.pth",
            sha256="1167a1affa42e1e62858f8d3fac12d109e0108327ffc91c5855a324b11683c36",
            parameters=32_957_013,
            gflops=142.726,
        ),
        _coco(
            name="fcn_resnet101",
            build=_torchvision("fcn_resnet101"),
            weights="fcn_resnet101_coco-7ecb50ca.pth",
            sha256="7ecb50ca17844860a70d5ed0c748d997cf8adb62932abaa0233430c68594d749",
            parameters=51_949_141,
            gflops=222.747,
        ),
        _coco(
            name="deeplabv3_resnet50",
            build=_torchvision("deeplabv3_resnet50"),
            weights="deeplabv3_resnet50_coco-cd0a2569.pth",
            sha256="cd0a2569",
            parameters=39_638_869,
            gflops=168.731,
        ),
        _coco(
            name="deeplabv3_resnet101",
            build=_torchvision("deeplabv3_resnet101"),
            weights="deeplabv3_resnet101_coco-586e9e4e.pth",
            sha256="586e9e4e",
            parameters=58_630_997,
            gflops=248.752,
        ),
        _coco(
            name="deeplabv3_mobilenet_v3_large",
            build=_torchvision("deeplabv3_mobilenet_v3_large"),
            weights="deeplabv3_mobilenet_v3_large-fc3c493d.pth",
            sha256="fc3c493d",
            parameters=11_025_477,
            gflops=10.436,
        ),
        _coco(
            name="lraspp_mobilenet_v3_large",
            build=_torchvision("lraspp_mobilenet_v3_large"),
            weights="lraspp_mobilenet_v3_large-d234d4ea.pth",
            sha256="d234d4ea",
            parameters=3_221_538,
            gflops=2.086,
        ),
    )
}


TRAINED: dict[str, "Callable[..., nn.Module]"] = {
    "fcn_mobilenet_v2": _own("fcn_mobilenet_v2", "fcn"),  # a file that names no head has torchvision's
    "unet_mobilenet_v2": _own("unet_mobilenet_v2", "unet"),
    "unet_resnet34": _own("unet_resnet34", "unet"),
    "segnet": _own("segnet", "segnet"),
}
"""What `seglib train` builds beside the models above, or otherwise than above."""


def trainable() -> tuple[str, ...]:
    return tuple(sorted({*TRAINED, *MODELS}))


@lru_cache(maxsize=64)  # so that two readings of one file give equal specs, and the net is loaded once
def builder(name: str, options: tuple[tuple[str, str], ...] = ()) -> "Callable[..., nn.Module]":
    """classes -> the net that `seglib train` trains under this name, without weights."""
    if name not in trainable():
        raise UnknownName("model", name, trainable())
    build: Callable[..., nn.Module] = TRAINED[name] if name in TRAINED else MODELS[name].build
    return partial(build, **dict(options)) if options else build


def find(name: str | None = None, weights: Path | None = None, *, source: str = "torchvision") -> ModelSpec:
    """The spec for `--model` and `--weights`: either may be left out where the other one says enough."""
    if weights is not None:
        return _spec_of_file(name, weights)
    if name is not None and name not in MODELS:
        raise UnknownName("model", name, MODELS)
    spec = MODELS[name or DEFAULT_MODEL]
    if source == "hub" and spec.source != "torchvision":
        raise UsageError(f"{spec.name} is not on torch.hub: leave out --source hub.")
    return replace(spec, source=source) if source == "hub" else spec


def hub_folder() -> Path:
    """torch.hub's folder for checkpoints, worked out as torch does, without importing it."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.getenv("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def _spec_of_file(name: str | None, weights: Path) -> ModelSpec:
    """A safetensors file names its model and classes itself; a .pth holds nothing but numbers."""
    if name is not None and name not in trainable():
        raise UnknownName("model", name, trainable())
    if not weights.is_file():
        raise WeightsError(f"There is no weights file {str(weights)!r}.")
    about = _metadata(weights)
    architecture = about.get("architecture") or name
    if architecture is None:
        raise UsageError(f"{weights.name} does not say which model it is for: add --model NAME.")
    if name is not None and architecture != name:
        raise WeightsError(f"{weights.name} was made for {architecture}, not for {name}: leave out --model.")
    if architecture not in trainable():
        raise UnknownName("model", architecture, trainable())
    spec = MODELS[architecture] if architecture in MODELS else _untrained(architecture)
    try:
        return replace(
            spec,
            build=builder(architecture, _options(about)),
            weights=str(weights),
            sha256="",
            source="file",
            parameters=int(about.get("parameters", 0)) or weights_file.parameters_in(weights) or spec.parameters,
            gflops=None if architecture in TRAINED else spec.gflops,
            classes=_class_names(json.loads(about["classes"])) if "classes" in about else spec.classes,
            resize=Resize(about["resize"]) if "resize" in about else spec.resize,
            net_side=_net_side(about),
            mean=_rgb(json.loads(about["mean"])) if "mean" in about else spec.mean,
            std=_rgb(json.loads(about["std"]), positive=True) if "std" in about else spec.std,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError):
        raise _unreadable_metadata(weights) from None


def _unreadable_metadata(weights: Path) -> WeightsError:
    return WeightsError(f"{weights.name} has metadata that cannot be read: was it made by seglib train?")


def _class_names(value: object) -> tuple[str, ...]:
    """Raises `ValueError`."""
    names = tuple(value) if isinstance(value, list) else ()
    if not are_class_names(names):
        raise ValueError
    return names


def _rgb(value: object, *, positive: bool = False) -> tuple[float, float, float]:
    """Raises `ValueError`."""
    red, green, blue = map(float, value if isinstance(value, list) else [])
    if not all(math.isfinite(one) and (one > 0 or not positive) for one in (red, green, blue)):
        raise ValueError
    return red, green, blue


def _net_side(about: dict[str, str]) -> int:
    """Raises `ValueError` or `UsageError`."""
    side = int(about.get("net_side", 0))
    check_net_side(side)
    return side


def classes_of_file(weights: Path) -> tuple[str, ...]:
    """What a checkpoint says that it scores; empty if it says nothing."""
    about = _metadata(weights)
    try:
        return _class_names(json.loads(about["classes"])) if "classes" in about else ()
    except (ValueError, RecursionError):
        raise _unreadable_metadata(weights) from None


def options_of_file(weights: Path) -> tuple[tuple[str, str], ...]:
    """The choices of its architecture that a checkpoint was trained with."""
    about = _metadata(weights)
    try:
        return _options(about)
    except (ValueError, AttributeError, RecursionError):
        raise _unreadable_metadata(weights) from None


def _metadata(weights: Path) -> dict[str, str]:
    return weights_file.metadata(weights) if weights.suffix == ".safetensors" else {}


def _options(about: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value)) for name, value in json.loads(about.get("options", "{}")).items()))


def _untrained(architecture: str) -> ModelSpec:
    """What a model without weights of its own is like before a file says more."""
    return ModelSpec(name=architecture, build=builder(architecture), weights="", parameters=0, resize=Resize("224"))
