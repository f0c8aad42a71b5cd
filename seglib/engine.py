"""Prediction: pictures of one shape in, masks and measures out. The only place where a net runs.

In: uint8 (B, H, W, 3) RGB at the grid's size, a `ModelSpec`, `Settings`. Out: masks uint8 (B, H, W) and one
`Measures` per picture. A batch needs nothing else, so it may run in any process. Also says what a run is called:
a digest of everything that changes a mask. Imports torch only when a net is needed.
Knows nothing of files, folders, stores or pages.
"""

import ctypes
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

_BLOCK = 65_536  # pixels whose 21 logits are worked on at once: small enough for the processor's cache

CODE_SCHEMA = 1
"""Counts up when the code changes a mask or a number in a way that no other part of the digest shows."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h

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

    device = resolved_device(settings.device)
    net = _net(spec, settings.precision, device)
    with torch.inference_mode():
        logits = net(_normalised(images, spec, settings, device)).float()  # (B, C, h, w)
        if device == "cuda":
            return _measured_by_torch(_upsampled(logits, images.shape[1:3]))
        masks = np.empty(images.shape[:3], np.uint8)
        measures = []
        for mask, one in zip(masks, logits.split(1), strict=True):  # one at a time: the grid's logits stay in the cache
            grid = _upsampled(one, images.shape[1:3])[0].flatten(1).numpy()  # (C, H*W)
            mask[:], measure = _measured_by_numpy(grid, mask.shape)
            measures.append(measure)
    return masks, measures


def entropy_map(image: NDArray[np.uint8], spec: ModelSpec, settings: Settings) -> NDArray[np.float32]:
    """uint8 (H, W, 3) RGB -> float32 (H, W): how undecided the net is at each pixel, 0..1.

    The entropy of the class probabilities divided by log C; its mean is the picture's `entropy`.
    """
    import torch

    device = resolved_device(settings.device)
    net = _net(spec, settings.precision, device)
    with torch.inference_mode():
        logits = net(_normalised(image[None], spec, settings, device)).float()  # (1, C, h, w)
        grid = _upsampled(logits, image.shape[:2])[0].flatten(1).cpu().numpy()  # (C, H*W)
    entropy = np.empty(grid.shape[1], np.float32)
    for start in range(0, entropy.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        entropy[part] = _best_two(grid[:, part])[2]
    return (entropy / math.log(len(grid))).clip(0, 1).reshape(image.shape[:2])


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
    from seglib import nets

    _keep_freed_memory()
    return nets.prepared(models.load(spec), _dtype(precision), spec.fp32_blocks).to(device)


def _keep_freed_memory() -> None:
    """Tell glibc to keep what is freed (mallopt(3)): the next picture needs the same sizes again.

    Otherwise large tensors go back to the system each time: a thousand page faults a photo, 4 to 16 % of a run.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        mallopt(option, 1 << 30)


def _dtype(precision: str) -> "torch.dtype":
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def _normalised(images: NDArray[np.uint8], spec: ModelSpec, settings: Settings, device: str) -> "Tensor":
    """(B, H, W, 3) 0..255 -> (B, 3, H, W) with the model's mean and deviation, channels last in memory."""
    import torch

    pixels = torch.from_numpy(np.array(images)).to(device)  # (B, H, W, 3)
    mean, std = torch.tensor(spec.mean, device=device), torch.tensor(spec.std, device=device)
    normalised = (pixels.float() / 255 - mean) / std
    return normalised.permute(0, 3, 1, 2).to(_dtype(settings.precision))  # (B, 3, H, W)


def _upsampled(logits: "Tensor", size_hw: tuple[int, ...]) -> "Tensor":
    """(B, C, h, w) -> (B, C, H, W), contiguous: the grid rule."""
    import torch

    if logits.shape[2:] == size_hw:
        return logits.contiguous()
    return torch.nn.functional.interpolate(logits.contiguous(), size=size_hw, mode="bilinear", align_corners=False)


# Mask and measures follow from logits in one walk over the classes, which keeps the two best so far: four times as fast
# as argmax, softmax and topk one after the other. With d = logit - best logit and Z = sum exp(d), the winning
# probability is 1 / Z, the second exp(d of the second) / Z, and the entropy log Z - sum(d exp(d)) / Z.


def _measured_by_numpy(logits: NDArray[np.float32], size_hw: tuple[int, ...]) -> tuple[NDArray[np.uint8], Measures]:
    """float32 (C, H*W) -> mask uint8 (H, W) and measures; a part of the picture at a time."""
    mask, sums = np.empty(logits.shape[1], np.uint8), np.zeros(3)
    for start in range(0, mask.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        mask[part], *values = _best_two(logits[:, part])
        sums += [value.sum(dtype=np.float64) for value in values]
    return mask.reshape(size_hw), _means(sums / mask.size, len(logits))


def _best_two(logits: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """float32 (C, P) -> winning class uint8, its probability, entropy in nats, undecided bool; (P,) each."""
    best, second = logits[0].copy(), np.full_like(logits[0], -np.inf)
    winner, better = np.zeros(best.shape, np.uint8), np.empty(best.shape, np.uint8)
    below, power = np.empty_like(best), np.empty_like(best)
    for index in range(1, len(logits)):
        np.greater(logits[index], best, out=better, casting="unsafe")  # of equals the lower index wins, as in argmax
        np.maximum(winner, np.multiply(better, index, out=better), out=winner)
        np.maximum(second, np.minimum(best, logits[index], out=below), out=second)
        np.maximum(best, logits[index], out=best)
    powers, moments = np.zeros_like(best), np.zeros_like(best)  # Z and sum d exp(d)
    for logit in logits:
        powers += np.exp(np.subtract(logit, best, out=below), out=power)
        moments += np.multiply(power, below, out=power)
    confidence = 1 / powers
    entropy = np.log(powers) - moments * confidence
    return winner, confidence, entropy, confidence - np.exp(second - best) * confidence < LOW_MARGIN


def _measured_by_torch(logits: "Tensor") -> tuple[NDArray[np.uint8], list[Measures]]:
    """The same, on the device where the logits lie, so that only masks and means travel."""
    import torch

    best, second = logits[:, 0].clone(), torch.full_like(logits[:, 0], -math.inf)
    winner = torch.zeros_like(best, dtype=torch.uint8)  # (B, H, W)
    for index in range(1, logits.shape[1]):
        plane = logits[:, index]
        winner.masked_fill_(plane > best, index)
        second = second.maximum(best.minimum(plane))
        best = best.maximum(plane)
    below = logits - best[:, None]
    powers = below.exp()
    confidence = 1 / powers.sum(1)
    entropy = -confidence.log() - (powers * below).sum(1) * confidence
    undecided = confidence - (second - best).exp() * confidence < LOW_MARGIN
    means = torch.stack([v.double().mean((1, 2)) for v in (confidence, entropy, undecided)], 1)  # (B, 3)
    return winner.cpu().numpy(), [_means(row, logits.shape[1]) for row in means.cpu().numpy()]


def _means(values: NDArray[np.float64], classes: int) -> Measures:
    confidence, entropy, low_margin = (float(v) for v in values)
    return Measures(confidence, min(1.0, max(0.0, entropy / math.log(classes))), low_margin)


def known_precision(text: str, earlier: Sequence[str], device: str = "auto") -> str:
    """Resolve `auto`: what the newest run of the same model, weights and resize used; else the fastest native one.

    Judging asks torch about a GPU; that is the first run of a model, which needs torch anyway.
    """
    if text != "auto":
        return text
    return earlier[-1] if earlier else fastest_precision(resolved_device(device))


def fastest_precision(device: str) -> str:
    """bf16 where the hardware multiplies it natively, else fp32: emulated bf16 is slower than fp32."""
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "fp32"
    return "bf16" if flags & {"avx512_bf16", "amx_bf16"} else "fp32"
