"""Prediction: pictures of one shape in, masks and measures out. Where a net is asked, whoever wants to know.

In: uint8 (B, H, W, 3) RGB as the net sees it, a `ModelSpec`, `Settings`, the grid's size. Out: masks uint8 on the grid
and one `Measures` per picture. A batch needs nothing else, so it may run in any process. Also says what a run is
called: a digest of everything that changes a mask. Imports torch only when a net is needed.
Knows nothing of photos' files, of data sets or of pages.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seglib import forward, int8, measure, models
from seglib.data.image import DECODER
from seglib.data.resize import Resize, as_net_sees, resized
from seglib.errors import SegError, UsageError, WeightsError
from seglib.masks.statistics import Measures
from seglib.models import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

GRID_RULE = "bilinear-logits-1"
"""Logits are upsampled bilinearly (align_corners=False) to the size that --resize gives before argmax; masks live
there, also those of a net that sees every photo at a side of its own (`ModelSpec.net_side`).
"""

CODE_SCHEMA = 2
"""Counts up when the code changes a mask or a number in a way that no other part of the digest shows."""

PRECISIONS: tuple[str, ...] = ("fp32", "bf16", "int8")
DEVICES: tuple[str, ...] = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a prediction needs to know beside the model. `precision` is resolved, never `auto`."""

    resize: Resize
    precision: str = "fp32"
    device: str = "auto"
    quantised: Path | None = None
    """For int8: the folder of the calibrated model (`int8.quantise`)."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"A precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}.")
        if self.device not in DEVICES:
            raise UsageError(f"A device is one of {', '.join(DEVICES)}, not {self.device!r}.")
        if self.precision == "int8" and self.device == "cuda":
            raise UsageError("int8 runs on the CPU: leave out --device cuda, or take --precision bf16.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that changes a mask; two runs with equal recipes are one run. The device is not part of it."""

    model: str
    resize: str
    precision: str
    weights_sha256: str
    quantised_sha256: str
    """Of the calibrated int8 model; empty for other precisions."""
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
        quantised_sha256=_quantised_sha256(settings),
        grid_rule=_grid_rule(spec, settings),
        decoder=DECODER,
        code_schema=CODE_SCHEMA,
        classes=spec.classes,
        mean=spec.mean,
        std=spec.std,
        code=models.HUB_REPOSITORY if spec.source == "hub" else "installed",
    )


def _grid_rule(spec: ModelSpec, settings: Settings) -> str:
    sees = spec.sees(settings.resize)
    return GRID_RULE if sees == settings.resize else f"{GRID_RULE}, photos seen at {sees.text} in steps of {sees.step}"


def _quantised_sha256(settings: Settings) -> str:
    if settings.quantised is None:
        return ""
    try:
        return int8.sha256(settings.quantised)
    except OSError:
        raise WeightsError(
            f"The int8 model {settings.quantised.name} is damaged: delete its folder, and run again to calibrate anew."
        ) from None


def shown(photo: Image, spec: ModelSpec, settings: Settings) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """A decoded photo -> uint8 (H, W, 3) as the net sees it, and (width, height) of its grid."""
    return resized(photo, spec.sees(settings.resize)), settings.resize.grid_wh(*photo.size)


def predict_batch(
    images: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], list[Measures]]:
    """uint8 (B, H, W, 3) RGB -> masks uint8 (B, height, width) of the grid, and how sure the net was of each.

    A run hands over what `shown` makes of each photo. Without `grid_wh` the pictures lie on the grid; a net with a side
    of its own then sees them resized once more (`preprocess.as_net_sees`), and stretched if they are.

    The net is loaded at the first call and kept. In fp32 on the CPU a picture gets the same mask in every batch.
    """
    masks, measures = [], []
    for grid in _grids(images, spec, settings, grid_wh):
        if grid.is_cuda:
            some, sure = measure.by_torch(grid)
            masks.append(some)
            measures += sure
        else:
            mask, one = measure.by_numpy(grid[0].flatten(1).numpy(), grid.shape[2:])
            masks.append(mask[None])
            measures.append(one)
    return np.concatenate(masks), measures


def entropy_map(
    image: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One picture as in `predict_batch` -> float32 (height, width): how undecided the net is at each pixel, 0..1.

    The entropy of the class probabilities divided by log C; its mean is the picture's `entropy`.
    """
    (grid,) = _grids(image[None], spec, settings, grid_wh)
    return measure.entropies(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def confidence_map(
    image: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One picture as in `predict_batch` -> float32 (height, width): the winning probability of each pixel; its mean is
    `confidence`.
    """
    (grid,) = _grids(image[None], spec, settings, grid_wh)
    return measure.confidences(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def _grids(
    images: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None
) -> "Iterator[Tensor]":
    """Logits at the grid's size, float32: (1, C, height, width) picture by picture, which stay in the processor's
    cache; on a GPU (B, C, height, width) at once.
    """
    import torch

    net = _net(spec, settings.precision, device_of(settings), settings.quantised)
    grid_hw, seen = images.shape[1:3], images
    if grid_wh is not None:
        grid_hw = grid_wh[::-1]
    else:
        seen = as_net_sees(images, spec.net_side)
    with torch.inference_mode():
        for logits in net(seen):
            yield forward.upsampled(logits, grid_hw)


def warm_up(spec: ModelSpec, settings: Settings) -> None:
    """Load the net now, so that it does not count as prediction time."""
    _net(spec, settings.precision, device_of(settings), settings.quantised)


@lru_cache(maxsize=2)
def _net(
    spec: ModelSpec, precision: str, device: str, quantised: Path | None
) -> "Callable[[NDArray[np.uint8]], Iterator[Tensor]]":
    if precision != "int8":
        return forward.TorchNet(spec, precision, device)
    if quantised is None:
        raise UsageError(
            "int8 needs a model that was calibrated on your photos, which lies in a store: "
            "take seglib run --precision int8, or another precision."
        )
    return int8.Int8Net(quantised)


def device_of(settings: Settings) -> str:
    """Where these settings compute: `cpu` or `cuda`."""
    return "cpu" if settings.precision == "int8" else resolved_device(settings.device)


def resolved_device(device: str) -> str:
    """`cpu` or `cuda`, also for `auto`."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise SegError("There is no CUDA device here, or this build of torch cannot use it: take --device cpu.")
    return device


def versions() -> dict[str, str]:
    """The libraries that a mask may depend on, for a run's record; read from their metadata, not by importing them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "torchvision", "pillow", "numpy", *int8.LIBRARIES):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def known_precision(text: str, earlier: Sequence[str], device: str = "auto") -> str:
    """Resolve `auto`: what the newest run of the same model, weights and resize used; else the faster of fp32 and bf16.

    int8 costs more in masks than they do, so it is never a guess.

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
