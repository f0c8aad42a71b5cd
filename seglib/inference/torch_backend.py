"""The forward pass in torch: pictures in, the net's own logits out, in fp32 or bf16.

In: uint8 (B, H, W, 3) RGB. Out: float32 logits as the head makes them, (b, C, h, w), before upsampling. What computes
in int8 is in `int8.py` and is called the same way. Imports torch when a net is loaded.
Knows nothing of masks, files or stores.
"""

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seglib.models import loading
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


class TorchNet:
    """A model's net on one device, in one precision (`fp32` or `bf16`), with the weights of its spec."""

    def __init__(self, spec: ModelSpec, precision: str, device: str) -> None:
        import torch

        from seglib.models import optimize

        _keep_freed_memory()
        self._dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        net = optimize.prepared(loading.load(spec), self._dtype, spec.fp32_blocks)
        if (precision, device) == ("bf16", "cpu"):
            optimize.split_wide(net)
        self._net = net.to(device).to(memory_format=torch.channels_last)
        self._mean, self._std = torch.tensor(spec.mean, device=device), torch.tensor(spec.std, device=device)

    def __call__(self, images: NDArray[np.uint8]) -> "Iterator[Tensor]":
        """uint8 (B, H, W, 3) -> logits float32 (1, C, h, w) of each picture; on a GPU (B, C, h, w) at once."""
        logits = self._net(self.normalised(images)).float()
        yield from (logits,) if logits.is_cuda else logits.split(1)

    def normalised(self, images: NDArray[np.uint8]) -> "Tensor":
        """(B, H, W, 3) 0..255 -> (B, 3, H, W) with the model's mean and deviation, channels last in memory."""
        import torch

        pixels = torch.from_numpy(np.array(images))  # (B, H, W, 3)
        if self._mean.is_cuda:  # a quarter of the bytes of float32 travel, from pinned memory, while the host goes on
            pixels = pixels.pin_memory().to(self._mean.device, non_blocking=True)
        return ((pixels.float() / 255 - self._mean) / self._std).permute(0, 3, 1, 2).to(self._dtype)


def upsampled(logits: "Tensor", size_hw: tuple[int, ...]) -> "Tensor":
    """(B, C, h, w) -> (B, C, H, W), contiguous: the grid rule."""
    import torch

    if logits.shape[2:] == size_hw:
        return logits.contiguous()
    return torch.nn.functional.interpolate(logits.contiguous(), size=size_hw, mode="bilinear", align_corners=False)


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
