"""Losses, learning-rate schedules, and the exponential moving average (EMA) of the weights.

Logits are float (B, C, h, w), masks int64 (B, h, w) with void 255, soft labels float (B, C, h, w).
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from seglib.classes import VOID

_SMOOTH = 1.0


def cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy, averaged over the pixels that are not void."""
    total = functional.cross_entropy(logits, mask, ignore_index=VOID, reduction="sum")
    return total / (mask != VOID).sum().clamp(min=1)


def dice_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - soft Dice (Milletari et al. 2016), averaged over the classes present in the batch's masks; void is ignored.

    Soft Dice of a class over all pixels of the batch: (2 sum(p y) + 1) / (sum(p) + sum(y) + 1).
    """
    labelled = mask != VOID
    mask, counted = mask.where(labelled, 0), labelled.to(logits.dtype)
    probability = logits.softmax(1)
    true_probability = (probability.gather(1, mask[:, None])[:, 0] * counted).flatten()  # (B h w,)
    both, area = (
        logits.new_zeros(logits.shape[1]).index_add(0, mask.flatten(), value)
        for value in (true_probability, counted.flatten())
    )  # (C,)
    predicted_area = torch.einsum("bchw,bhw->c", probability, counted)
    score = (2 * both + _SMOOTH) / (predicted_area + area + _SMOOTH)
    present = area > 0
    return ((1 - score) * present).sum() / present.sum().clamp(min=1)


def distillation_loss(logits: Tensor, soft: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the teacher's probabilities, averaged over pixels.

    Hinton et al. 2015, at temperature 1.
    """
    return functional.kl_div(logits.log_softmax(1), soft, reduction="none").sum(1).mean()


_ONECYCLE_START = 1 / 25


_ONECYCLE_END = 1e-4 / 25


_ONECYCLE_RISE = 0.3


def rate_factor(schedule: str, step: float, total: float, *, warmup: float = 0.0, cooldown: float = 0.0) -> float:
    """Learning rate at this step of `total`, as a share of the peak. All times in the same unit, steps or epochs.

    `poly`: (1 - t)^0.9 (Chen et al. 2017, DeepLab). `onecycle`: cosine from 1/25 up to 1 in the first 30 %, then cosine
    down to almost 0 (Smith and Topin 2018; torch's OneCycleLR). `constant`: 1, then linear down to 0 in the last
    `cooldown` steps (Hägele et al. 2024), so that training can be extended until then. `poly` and `constant` start with
    a linear warmup over `warmup`.
    """
    t = min(step / total, 1.0)
    if schedule == "onecycle":
        if t <= _ONECYCLE_RISE:
            return _cosine(_ONECYCLE_START, 1.0, t / _ONECYCLE_RISE)
        return _cosine(1.0, _ONECYCLE_END, (t - _ONECYCLE_RISE) / (1 - _ONECYCLE_RISE))
    rise = min(1.0, step / warmup) if warmup else 1.0
    if schedule == "poly":
        return float(rise * (1 - t) ** 0.9)
    return rise * min(1.0, max(0.0, total - step) / cooldown) if cooldown else rise


def _cosine(start: float, end: float, t: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * t))


@torch.no_grad()
def update_ema(ema_model: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Update `ema_model`, the exponential moving average of the weights, from `model`, in place (Tarvainen and Valpola
    2017).

    The decay grows from 0.1 as (1 + step) / (10 + step), so that the random initial weights are soon forgotten. Integer
    tensors, such as a batch norm's count of batches, are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    for ours, theirs in zip(_tensors(ema_model), _tensors(model), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, share)
        else:
            ours.copy_(theirs)


def _tensors(model: nn.Module) -> Iterable[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()
