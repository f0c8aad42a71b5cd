"""Inference with torch, in fp32 or bf16.

`TorchBackend` maps uint8 (B, H, W, 3) RGB images to float32 logits (b, C, h, w) at the head's output resolution;
`upsample` resizes them to the mask grid. `openvino_backend.OpenVinoBackend` is called the same way. torch is imported
only when a model is loaded.
"""

import contextlib
import ctypes
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seglib.models import loading
from seglib.models.adapter import OutputKind
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


class TorchBackend:
    """A loaded model on one device, in one precision (`fp32` or `bf16`)."""

    output: OutputKind = "logits"
    notes: Sequence[str] = ()

    def __init__(self, spec: ModelSpec, precision: str, device: str) -> None:
        import torch

        from seglib.models import optimize

        _keep_freed_memory()
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        model = optimize.prepare_for_inference(loading.load(spec), self._dtype, spec.fp32_blocks, spec.feature_block)
        if (precision, device) == ("bf16", "cpu"):
            optimize.split_wide_convs(model)
        self._model = model.to(device).to(memory_format=torch.channels_last)
        self._mean, self._std = torch.tensor(spec.mean, device=device), torch.tensor(spec.std, device=device)

    def __call__(self, images: NDArray[np.uint8]) -> "Iterator[Tensor]":
        """uint8 (B, H, W, 3) -> yields float32 logits: (1, C, h, w) per image, or (B, C, h, w) at once on a GPU."""
        for logits, _ in self.with_features(images):
            yield logits

    def with_features(self, images: NDArray[np.uint8]) -> "Iterator[tuple[Tensor, Tensor | None]]":
        """See `seglib.models.adapter.FeatureBackend`; feature maps have the dtype that the model computes in."""
        logits, features = self._model(self.normalise(images))
        if logits.is_cuda:
            yield logits.float(), features
        else:
            each: Iterable[Tensor | None] = repeat(None) if features is None else features.split(1)
            yield from zip(logits.float().split(1), each, strict=False)

    def normalise(self, images: NDArray[np.uint8]) -> "Tensor":
        """uint8 (B, H, W, 3) -> (B, 3, H, W) normalised by the model's mean and std, channels last in memory."""
        import torch

        pixels = torch.from_numpy(np.array(images))  # (B, H, W, 3)
        if self._mean.is_cuda:  # transfer uint8, a quarter of float32's bytes, without blocking the host
            pixels = pixels.pin_memory().to(self._mean.device, non_blocking=True)
        return ((pixels.float() / 255 - self._mean) / self._std).permute(0, 3, 1, 2).to(self._dtype)


def upsample(logits: "Tensor", size_hw: tuple[int, ...]) -> "Tensor":
    """(B, C, h, w) -> (B, C, H, W), contiguous, upsampled by `config.GRID_RULE`."""
    import torch

    if logits.shape[2:] == size_hw:
        return logits.contiguous()
    return torch.nn.functional.interpolate(logits.contiguous(), size=size_hw, mode="bilinear", align_corners=False)


def upsample_masks(masks: "Tensor", size_hw: tuple[int, ...]) -> "Tensor":
    """uint8 (B, h, w) -> uint8 (B, H, W): each pixel takes the class of the nearest one, as `png.resize_mask` does."""
    import torch

    if masks.shape[1:] == size_hw:
        return masks
    return torch.nn.functional.interpolate(masks[:, None], size=size_hw, mode="nearest-exact")[:, 0]


@contextlib.contextmanager
def spare_core() -> Iterator[None]:
    """Compute on all cores but one, if there are two: torch's threads wait for each other at every layer, so that one
    beside a busy process delays them all.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _keep_freed_memory() -> None:
    """Make glibc keep freed memory (mallopt(3)), because the next image needs the same sizes again.

    Otherwise large tensors are returned to the system each time: a thousand page faults per image, 4 to 16 % of a run.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
        mallopt(option, 1 << 30)
