"""What a net is punished for.

In: logits float (B, C, h, w), masks int64 (B, h, w) with void 255, soft labels float (B, C, h, w). Out: one number
each. A batch without a pixel that counts costs 0, and its gradient is 0. Knows nothing of nets or photos.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seglib.classes import VOID

_SMOOTH = 1.0


def cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pixels that are not void."""
    total = functional.cross_entropy(logits, mask, ignore_index=VOID, reduction="sum")
    return total / (mask != VOID).sum().clamp(min=1)


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """1 - soft Dice (Milletari et al. 2016), mean over the classes that the batch's masks hold; void does not count.

    Per class over the batch's pixels: (2 sum(p y) + 1) / (sum(p) + sum(y) + 1).
    """
    known = mask != VOID
    mask, counted = mask.where(known, 0), known.to(logits.dtype)
    probability = logits.softmax(1)
    right = (probability.gather(1, mask[:, None])[:, 0] * counted).flatten()  # (B h w,)
    both, area = (
        logits.new_zeros(logits.shape[1]).index_add(0, mask.flatten(), value) for value in (right, counted.flatten())
    )  # (C,)
    claimed = torch.einsum("bchw,bhw->c", probability, counted)
    score = (2 * both + _SMOOTH) / (claimed + area + _SMOOTH)
    there = area > 0
    return ((1 - score) * there).sum() / there.sum().clamp(min=1)


def distillation(logits: Tensor, soft: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the teacher's probabilities, mean over pixels (Hinton et al. 2015, at
    temperature 1).
    """
    return functional.kl_div(logits.log_softmax(1), soft, reduction="none").sum(1).mean()
