"""Run a model on a batch of images.

`predict_batch` maps uint8 (B, H, W, 3) RGB images at the model's input size to uint8 masks at the mask grid's size, and
one `ConfidenceStats` per image, or None if the model gives nothing but masks. `entropy_map`, `confidence_map` and
`probability_map` return per-pixel values. Predictions depend only on the arguments, so a batch may run in any process.
torch is imported only when a model is needed.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seglib.data.resize import resize_image, resize_to_input
from seglib.errors import UsageError
from seglib.inference import confidence, openvino_backend, torch_backend
from seglib.inference.config import InferenceConfig, device_of
from seglib.masks.statistics import ConfidenceStats
from seglib.models.adapter import Backend, FeatureBackend
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

_MASK_DIMENSIONS = 3  # (b, height, width); scores have one more, for the classes

_SMALLEST_PROBABILITY = 1e-12  # whose logarithm is finite


def prepare_image(image: Image, spec: ModelSpec, config: InferenceConfig) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decoded image -> uint8 (H, W, 3) at the model's input size, and (width, height) of its mask grid."""
    return resize_image(image, spec.input_resize(config.resize)), config.resize.grid_wh(*image.size)


def predict_batch(
    images: NDArray[np.uint8],
    spec: ModelSpec,
    config: InferenceConfig,
    grid_wh: tuple[int, int] | None = None,
    features: "list[Tensor] | None" = None,
) -> tuple[NDArray[np.uint8], list[ConfidenceStats | None]]:
    """uint8 (B, H, W, 3) RGB -> masks uint8 (B, height, width) at the grid's size, and the measures of each.

    With `grid_wh`, `images` must have the model's input size, as returned by `prepare_image`. Without it, they must
    have the grid's size; a model with its own input size gets them resized again (`resize.resize_to_input`), including
    any stretch.

    `features` is a list that receives the backbone's last feature maps, (b, D, h, w) of one or more images each, from
    the same forward pass; it stays empty if the model gives none (see `gives_features`).

    The model is loaded on the first call and cached. In fp32 on the CPU, an image's mask does not depend on its batch.
    """
    masks: list[NDArray[np.uint8]] = []
    measures: list[ConfidenceStats | None] = []
    for grid in _grid_outputs(images, spec, config, grid_wh, features):
        if grid.dim() == _MASK_DIMENSIONS:
            masks.append(grid.cpu().numpy())
            measures += [None] * len(grid)
            continue
        if grid.is_cuda:
            some, sure = confidence.summarise_torch(grid)
            masks.append(some)
            measures += sure
        else:
            mask, statistics = confidence.summarise_numpy(grid[0].flatten(1).numpy(), grid.shape[2:])
            masks.append(mask[None])
            measures.append(statistics)
    return np.concatenate(masks), measures


def entropy_map(
    image: NDArray[np.uint8], spec: ModelSpec, config: InferenceConfig, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One image as in `predict_batch` -> float32 (height, width): normalised entropy of each pixel, 0..1.

    The entropy of the class probabilities divided by log C; its mean is the image's `entropy`.
    """
    grid = _one_grid(image, spec, config, grid_wh)
    return confidence.pixel_entropy(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def confidence_map(
    image: NDArray[np.uint8], spec: ModelSpec, config: InferenceConfig, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One image as in `predict_batch` -> float32 (height, width): highest class probability of each pixel.

    Its mean is the image's `confidence`.
    """
    grid = _one_grid(image, spec, config, grid_wh)
    return confidence.pixel_confidence(grid[0].flatten(1).cpu().numpy()).reshape(grid.shape[2:])


def probability_map(
    image: NDArray[np.uint8], spec: ModelSpec, config: InferenceConfig, grid_wh: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """One image as in `predict_batch` -> float32 (C, height, width): probability of each class, 0..1."""
    import torch

    with torch.inference_mode():
        (grid,) = _one_grid(image, spec, config, grid_wh)
        grid = grid.sub_(grid.amax(0)).exp_()  # in place: at a large size, the scores are most of the memory
        probabilities: NDArray[np.float32] = grid.div_(grid.sum(0)).cpu().numpy()
    return probabilities


def _one_grid(
    image: NDArray[np.uint8], spec: ModelSpec, config: InferenceConfig, grid_wh: tuple[int, int] | None
) -> "Tensor":
    """Logits (1, C, height, width) of one image. Raises `UsageError` if the model gives nothing but masks."""
    (grid,) = _grid_outputs(image[None], spec, config, grid_wh)
    if grid.dim() == _MASK_DIMENSIONS:
        raise UsageError(f"{spec.name} gives masks alone, without a score per class: it has no confidence or entropy.")
    return grid


def _grid_outputs(
    images: NDArray[np.uint8],
    spec: ModelSpec,
    config: InferenceConfig,
    grid_wh: tuple[int, int] | None,
    features: "list[Tensor] | None" = None,
) -> "Iterator[Tensor]":
    """Yield float32 logits at the grid's size, or uint8 masks (b, height, width) if the model gives nothing else.

    On the CPU (1, C, height, width) per image, which makes better use of its cache; on a GPU (B, C, height, width).
    Probabilities become logits: their logarithm, once they have the grid's size.
    """
    import torch

    backend = load_backend(spec, config)
    grid_hw, inputs = images.shape[1:3], images
    if grid_wh is not None:
        grid_hw = grid_wh[::-1]
    else:
        inputs = resize_to_input(images, spec.own_input_rule)
    with torch.inference_mode():
        for output in _call(backend, inputs, features):
            if backend.output == "masks":
                yield torch_backend.upsample_masks(output, grid_hw)
            elif backend.output == "probabilities":
                yield _as_logits(torch_backend.upsample(output, grid_hw))
            else:
                yield torch_backend.upsample(output, grid_hw)


def _call(backend: Backend, inputs: NDArray[np.uint8], features: "list[Tensor] | None") -> "Iterator[Tensor]":
    if features is None or not isinstance(backend, FeatureBackend):
        yield from backend(inputs)
        return
    for output, maps in backend.with_features(inputs):
        if maps is not None:
            features.append(maps)
        yield output


def gives_features(spec: ModelSpec) -> bool:
    """Whether `predict_batch` can give this model's feature maps; found without loading it."""
    return spec.adapter is None or spec.adapter.gives_features


def _as_logits(probabilities: "Tensor") -> "Tensor":
    """(B, C, H, W) -> their logarithm, less a constant per pixel.

    The best one becomes exactly 0 and every other one less than that, so that rounding makes no ties.
    """
    best = probabilities.amax(1, keepdim=True).clamp_min(_SMALLEST_PROBABILITY)
    return (probabilities / best).clamp_min_(_SMALLEST_PROBABILITY).log_()


def warm_up(spec: ModelSpec, config: InferenceConfig) -> Sequence[str]:
    """Load the model in advance, so that loading does not count as prediction time.

    Returns sentences for the user about which weights are taken and how the output is read.
    """
    return (*spec.selection.notes, *load_backend(spec, config).notes)


def load_backend(spec: ModelSpec, config: InferenceConfig) -> Backend:
    """The loaded model, from the cache if it was used before."""
    return _load_backend(spec, config.precision, device_of(config), config.quantised)


@lru_cache(maxsize=2)
def _load_backend(spec: ModelSpec, precision: str, device: str, quantised: Path | None) -> Backend:
    if precision != "int8":
        if spec.adapter is not None:
            return spec.adapter.load_backend(spec, precision, device)
        return torch_backend.TorchBackend(spec, precision, device)
    if quantised is None:
        raise UsageError(
            "int8 needs a model that was calibrated on your photos, which lies in a store: "
            "run it into a store, or take another `precision`."
        )
    return openvino_backend.OpenVinoBackend(quantised, "" if spec.adapter else spec.feature_block)
