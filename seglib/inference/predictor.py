"""Run a model on a batch of images.

`predict_batch` maps uint8 (B, H, W, 3) RGB images at the model's input size to uint8 masks at the mask grid's size, and
one `Measures` per image. `entropy_map` and `confidence_map` return per-pixel values. Predictions depend only on the
arguments, so a batch may run in any process. torch is imported only when a model is needed.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seglib.data.resize import as_net_sees, resized
from seglib.errors import UsageError
from seglib.inference import confidence, openvino_backend, torch_backend
from seglib.inference.config import Settings, device_of
from seglib.masks.statistics import Measures
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


def shown(photo: Image, spec: ModelSpec, settings: Settings) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decoded image -> uint8 (H, W, 3) at the model's input size, and (width, height) of its mask grid."""
    return resized(photo, spec.sees(settings.resize)), settings.resize.grid_wh(*photo.size)


def predict_batch(
    images: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], list[Measures]]:
    """uint8 (B, H, W, 3) RGB -> masks uint8 (B, height, width) at the grid's size, and the measures of each.

    With `grid_wh`, `images` must have the model's input size, as returned by `shown`. Without it, they must have the
    grid's size; a model with its own input size gets them resized again (`resize.as_net_sees`), including any stretch.

    The model is loaded on the first call and cached. In fp32 on the CPU, an image's mask does not depend on its batch.
    """
    masks, measures = [], []
    for grid in _grids(images, spec, settings, grid_wh):
        if grid.is_cuda:
            some, sure = confidence.by_torch(grid)
            masks.append(some)
            measures += sure
        else:
            mask, one = confidence.by_numpy(grid[0].flatten(1).numpy(), grid.shape[2:])
            masks.append(mask[None])
            measures.append(one)
    return np.concatenate(masks), measures


def entropy_map(
    image: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One image as in `predict_batch` -> float32 (height, width): normalised entropy of each pixel, 0..1.

    The entropy of the class probabilities divided by log C; its mean is the image's `entropy`.
    """
    (grid,) = _grids(image[None], spec, settings, grid_wh)
    return confidence.entropies(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def confidence_map(
    image: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One image as in `predict_batch` -> float32 (height, width): highest class probability of each pixel.

    Its mean is the image's `confidence`.
    """
    (grid,) = _grids(image[None], spec, settings, grid_wh)
    return confidence.confidences(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def _grids(
    images: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None
) -> "Iterator[Tensor]":
    """Yield float32 logits at the grid's size.

    On the CPU (1, C, height, width) per image, which makes better use of its cache; on a GPU (B, C, height, width).
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
            yield torch_backend.upsampled(logits, grid_hw)


def warm_up(spec: ModelSpec, settings: Settings) -> None:
    """Load the model in advance, so that loading does not count as prediction time."""
    _net(spec, settings.precision, device_of(settings), settings.quantised)


@lru_cache(maxsize=2)
def _net(
    spec: ModelSpec, precision: str, device: str, quantised: Path | None
) -> "Callable[[NDArray[np.uint8]], Iterator[Tensor]]":
    if precision != "int8":
        return torch_backend.TorchNet(spec, precision, device)
    if quantised is None:
        raise UsageError(
            "int8 needs a model that was calibrated on your photos, which lies in a store: "
            "take seglib run --precision int8, or another precision."
        )
    return openvino_backend.Int8Net(quantised)
