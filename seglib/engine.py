"""Prediction: pictures of one shape in, masks and measures out. The only place where a net runs.

In: uint8 (B, H, W, 3) RGB at the grid's size, a `ModelSpec`, `Settings`. Out: masks uint8 (B, H, W) and one
`Measures` per picture. A batch needs nothing else, so it may run in any process. Also says what a run is called:
a digest of everything that changes a mask. Imports torch only when a net is needed.
Knows nothing of files, folders, stores or pages.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seglib import models
from seglib.errors import SegError, UsageError
from seglib.models import ModelSpec
from seglib.preprocess import DECODER, Resize
from seglib.stats import LOW_MARGIN, Measures

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

GRID_RULE = "bilinear-logits-1"
"""Logits are upsampled bilinearly (align_corners=False) to the net's input size before argmax; masks live there."""

CODE_SCHEMA = 1
"""Counts up when the code changes a mask or a number in a way that no other part of the digest shows."""

PRECISIONS: tuple[str, ...] = ("fp32", "bf16")
DEVICES: tuple[str, ...] = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a prediction needs to know beside the model. `precision` is resolved, never `auto`."""

    resize: Resize
    precision: str = "fp32"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"A precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}.")
        if self.device not in DEVICES:
            raise UsageError(f"A device is one of {', '.join(DEVICES)}, not {self.device!r}.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that changes a mask; two runs with equal recipes are one run. The device is not part of it."""

    model: str
    resize: str
    precision: str
    weights_sha256: str
    grid_rule: str
    decoder: str
    code_schema: int
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    code: str
    """Where the net's code comes from: `installed`, or torch.hub's repository and tag."""

    @property
    def run(self) -> str:
        """`<model>-<resize>-<8 hex>`."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.model}-{Resize(self.resize).slug}-{digest}"


def recipe(spec: ModelSpec, settings: Settings) -> Recipe:
    """Reads and checks the weights file; needs no torch."""
    return Recipe(
        model=spec.name,
        resize=settings.resize.text,
        precision=settings.precision,
        weights_sha256=models.weights_sha256(spec),
        grid_rule=GRID_RULE,
        decoder=DECODER,
        code_schema=CODE_SCHEMA,
        classes=spec.classes,
        mean=spec.mean,
        std=spec.std,
        code=models.HUB_REPOSITORY if spec.source == "hub" else "installed",
    )


def predict_batch(
    images: NDArray[np.uint8], spec: ModelSpec, settings: Settings
) -> tuple[NDArray[np.uint8], list[Measures]]:
    """uint8 (B, H, W, 3) RGB -> masks uint8 (B, H, W), and how sure the net was of each.

    The net is loaded at the first call and kept. In fp32 on the CPU a picture gets the same mask in every batch.
    """
    import torch

    net = _net(spec, settings.precision, resolved_device(settings.device))
    with torch.inference_mode():
        logits = net(_normalised(images, spec, settings))["out"]  # (B, C, H, W)
        masks = np.empty(images.shape[:3], np.uint8)
        measures = []
        for index, one in enumerate(logits):  # one picture at a time: bounded memory, same sums in every batch
            mask, measure = _mask_and_measures(one)
            masks[index] = mask.cpu().numpy()
            measures.append(measure)
    return masks, measures


def warm_up(spec: ModelSpec, settings: Settings) -> None:
    """Load the net now, so that it does not count as prediction time."""
    _net(spec, settings.precision, resolved_device(settings.device))


def resolved_device(device: str) -> str:
    """`cpu` or `cuda`."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise SegError("There is no CUDA device here, or this build of torch cannot use it: take --device cpu.")
    return device


def versions() -> dict[str, str]:
    """The libraries that a mask may depend on, for a run's record; read from their metadata, not by importing them."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "torchvision", "pillow", "numpy")}


@lru_cache(maxsize=2)
def _net(spec: ModelSpec, precision: str, device: str) -> "nn.Module":
    import torch

    net = models.load(spec).to(device=device, dtype=_dtype(precision))
    return net.to(memory_format=torch.channels_last)


def _dtype(precision: str) -> "torch.dtype":
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def _normalised(images: NDArray[np.uint8], spec: ModelSpec, settings: Settings) -> "Tensor":
    """(B, H, W, 3) 0..255 -> (B, 3, H, W) with the model's mean and deviation, channels last in memory."""
    import torch

    device = resolved_device(settings.device)
    pixels = torch.from_numpy(np.array(images)).to(device)  # (B, H, W, 3)
    mean, std = torch.tensor(spec.mean, device=device), torch.tensor(spec.std, device=device)
    normalised = (pixels.float() / 255 - mean) / std
    return normalised.permute(0, 3, 1, 2).to(_dtype(settings.precision))  # (B, 3, H, W)


def _mask_and_measures(logits: "Tensor") -> tuple["Tensor", Measures]:
    """(C, H, W) -> mask uint8 (H, W) and the three means over its pixels."""
    scores = logits.float().permute(1, 2, 0)  # (H, W, C), C contiguous in channels-last memory
    best, mask = scores.max(-1)  # (H, W)
    probabilities = scores.softmax(-1)  # (H, W, C)
    normaliser = scores.logsumexp(-1)  # (H, W)
    confidence = (best - normaliser).exp()
    second = (scores.scatter(-1, mask.unsqueeze(-1), -math.inf).amax(-1) - normaliser).exp()
    entropy = normaliser - (probabilities * scores).sum(-1)  # log Z - E[score] = -E[log p]
    return mask.byte(), Measures(
        confidence=_mean(confidence),
        entropy=min(1.0, max(0.0, _mean(entropy) / math.log(scores.shape[-1]))),
        low_margin=_mean((confidence - second < LOW_MARGIN).float()),
    )


def _mean(values: "Tensor") -> float:
    return float(values.double().mean())


def known_precision(text: str, earlier: Sequence[str]) -> str:
    """Resolve `auto`: what the newest run of the same model, weights and resize used, else fp32."""
    if text != "auto":
        return text
    return earlier[-1] if earlier else "fp32"
