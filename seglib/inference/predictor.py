"""Prediction: pictures of one shape in, masks and measures out. Where a net is asked, whoever wants to know.

In: uint8 (B, H, W, 3) RGB as the net sees it, a `ModelSpec`, `Settings`, the grid's size. Out: masks uint8 on the grid
and one `Measures` per picture. A batch needs nothing else, so it may run in any process. Also says what a run is
called: a digest of everything that changes a mask. Imports torch only when a net is needed.
Knows nothing of photos' files, of data sets or of pages.
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
    """One picture as in `predict_batch` -> float32 (height, width): how undecided the net is at each pixel, 0..1.

    The entropy of the class probabilities divided by log C; its mean is the picture's `entropy`.
    """
    (grid,) = _grids(image[None], spec, settings, grid_wh)
    return confidence.entropies(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def confidence_map(
    image: NDArray[np.uint8], spec: ModelSpec, settings: Settings, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One picture as in `predict_batch` -> float32 (height, width): the winning probability of each pixel; its mean is
    `confidence`.
    """
    (grid,) = _grids(image[None], spec, settings, grid_wh)
    return confidence.confidences(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


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
            yield torch_backend.upsampled(logits, grid_hw)


def warm_up(spec: ModelSpec, settings: Settings) -> None:
    """Load the net now, so that it does not count as prediction time."""
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
